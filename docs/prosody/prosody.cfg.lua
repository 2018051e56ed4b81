-- Prosody as the XMPP server behind an event manager of iris-twisted (docs/how-to/self-host.md, "Host it
-- yourself"). Started in a clone it runs as it is, for a trial; what you give in the
-- environment counts instead: IRIS_DOMAIN, IRIS_DATA, IRIS_INTERFACE, IRIS_HTTP_PORT,
-- IRIS_XMPP_PORT, and IRIS_MODULES, the folder of mod_iris.lua; IRIS_AS_ROOT=yes lets it
-- run as root, in a container.
-- Where clients come from other machines, put a proxy that speaks TLS in front of it.
daemonize = false
local data = ENV_IRIS_DATA or "/tmp/iris-prosody"
data_path = data
pidfile = data .. "/prosody.pid"
certificates = data
run_as_root = ENV_IRIS_AS_ROOT == "yes"
log = { info = "*console" }

-- Websockets (RFC 7395), where iris clients connect; and XMPP over TCP, where whoever
-- places calls may come from.
local interface = ENV_IRIS_INTERFACE or "127.0.0.1"
interfaces = { interface }
http_interfaces = { interface }
http_ports = { (ENV_IRIS_HTTP_PORT or 5280) + 0 }
https_ports = { }
c2s_ports = { (ENV_IRIS_XMPP_PORT or 5222) + 0 }
http_default_host = ENV_IRIS_DOMAIN or "example.test"

-- smacks is XEP-0198: no call is lost over a broken connection. iris is mod_iris.lua in
-- this folder: without it, rejects are refused.
plugin_paths = { ENV_IRIS_MODULES or (ENV_PWD or ".") .. "/docs/prosody" }
modules_enabled = { "saslauth", "disco", "ping", "smacks", "websocket", "iris" }
modules_disabled = { "s2s", "offline" }
smacks_hibernation_time = 300
-- A session with more stanzas than that on their way to a slow client is not resumed.
smacks_max_queue_size = 5000

-- Passwords are kept hashed, and only their SCRAM proofs travel. Without TLS of its own,
-- because this listens on loopback or behind a proxy.
authentication = "internal_hashed"
c2s_require_encryption = false
consider_websocket_secure = true

VirtualHost(ENV_IRIS_DOMAIN or "example.test")
