-- Lets the rejects of Iris clients through.
--
-- A reject is an IQ with two children, <query/> and <data/> side by side (protocol.md
-- section 5); RFC 6120 section 8.2.3 allows one, and Prosody answers bad-request. Here
-- <data/> becomes a child of <query/>, as it is in the notifications the other way.
local filters = require "util.filters";

local function nest(stanza)
	if stanza.name ~= "iq" or stanza.attr.type ~= "set" or #stanza.tags ~= 2 then return stanza; end
	local query = stanza:get_child("query", "jabber:iq:private");
	local data = stanza:get_child("data", "urn:xmpp:comcast:info");
	if query and data then
		stanza:remove_children("data", "urn:xmpp:comcast:info");
		query:add_child(data);
	end
	return stanza;
end

local function attach(session)
	if session.type ~= "s2sin" and session.type ~= "s2sout" then
		filters.add_filter(session, "stanzas/in", nest, 5);
	end
end

function module.load() filters.add_filter_hook(attach); end
function module.unload() filters.remove_filter_hook(attach); end
