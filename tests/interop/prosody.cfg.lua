-- An XMPP server for the tests, on loopback only. The words in @ are filled in.
run_as_root = true
daemonize = false
pidfile = "@DATA@/prosody.pid"
data_path = "@DATA@"
log = { info = "*console" }
interfaces = { "127.0.0.1" }
modules_enabled = { "saslauth", "disco", "ping", "smacks", "websocket", "roster", "iris" }
plugin_paths = { "@MODULES@" }
modules_disabled = { "s2s", "offline" }
http_ports = { @HTTP@ }
http_interfaces = { "127.0.0.1" }
https_ports = { }
c2s_ports = { @C2S@ }
c2s_direct_tls_ports = { @TLS@ }
ssl = { key = "@DATA@/server.key", certificate = "@DATA@/server.crt" }
http_default_host = "sha1.test"
consider_websocket_secure = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
storage = "internal"
smacks_hibernation_time = 300
-- Or a session with more than 500 stanzas on their way is not resumed.
smacks_max_queue_size = 5000

VirtualHost "sha1.test"
    authentication = "internal_hashed"

VirtualHost "sha256.test"
    authentication = "internal_hashed"
    password_hash = "SHA-256"

VirtualHost "plain.test"
    authentication = "internal_plain"
    disable_sasl_mechanisms = { "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS" }

VirtualHost "anonymous.test"
    authentication = "anonymous"
