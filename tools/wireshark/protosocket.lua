-- Protosocket for Wireshark and tshark 4.0 or newer: messages in TCP, RPC on them, the cache and gRPC's envelope.
--
-- Four protocols, each with its own ports: protosocket (protobuf), protosocket_msgpack, protosocket_cache and
-- protosocket_grpc. Length, id, control code and the links between request and response are protosocket.* in all
-- of them. docs/decode.md says how to install it and what can be set.

local NORMAL, CANCEL, END = 0, 1, 2
local REQUEST, RESPONSE = 0, 1
local TYPE_OF_WIRE = { [0] = "varint", [1] = "fixed64", [2] = "bytes", [5] = "fixed32" }
local STATUS = {
    [0] = "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}
local ACTIONS = { [0] = "LIST", "CREATE", "DELETE", "FLUSH" }

local messages = Proto("protosocket", "Protosocket")
local msgpack = Proto("protosocket_msgpack", "Protosocket MessagePack")
local cache = Proto("protosocket_cache", "Protosocket Cache")
local grpc = Proto("protosocket_grpc", "gRPC over Protosocket")

local shown = {
    direction = ProtoField.uint8(
        "protosocket.direction", "Direction", base.DEC, { [REQUEST] = "Request", [RESPONSE] = "Response" }
    ),
    length = ProtoField.uint32("protosocket.length", "Length"),
    id = ProtoField.uint64("protosocket.id", "Id"),
    control = ProtoField.uint32(
        "protosocket.control", "Control code", base.DEC, { [NORMAL] = "Normal", [CANCEL] = "Cancel", [END] = "End" }
    ),
    payload = ProtoField.bytes("protosocket.payload", "Message"),
    response_in = ProtoField.framenum("protosocket.response_in", "Response in", base.NONE, frametype.RESPONSE),
    request_in = ProtoField.framenum("protosocket.request_in", "Request in", base.NONE, frametype.REQUEST),
    time = ProtoField.relative_time("protosocket.time", "Time since the request"),
}
messages.fields = shown

local malformed = ProtoExpert.new(
    "protosocket.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR
)
local truncated = ProtoExpert.new(
    "protosocket.truncated", "Truncated", expert.group.REASSEMBLE, expert.severity.WARN
)
local unmatched = ProtoExpert.new(
    "protosocket.unmatched", "No request with this id", expert.group.SEQUENCE, expert.severity.NOTE
)
messages.experts = { malformed, truncated, unmatched }

-- Numbers. Lua's are too small for 64 bits, so there are two halves.

local POWERS = { [0] = 1 }
for exponent = 1, 32 do
    POWERS[exponent] = POWERS[exponent - 1] * 2
end

-- The varint at `offset` before `stop`: its low and high half and where it ends; false if it goes on after `stop`,
-- nil if it is none.
local function varint(tvb, offset, stop)
    local low, high = 0, 0
    for index = 0, 9 do
        if offset + index >= stop then
            return false
        end
        local byte = tvb(offset + index, 1):uint()
        local bits, shift = byte % 128, 7 * index
        if shift < 28 then
            low = low + bits * POWERS[shift]
        elseif shift == 28 then
            low = low + (bits % 16) * POWERS[28]
            high = math.floor(bits / 16)
        elseif shift == 63 and bits > 1 then
            return nil
        else
            high = high + bits * POWERS[shift - 32]
        end
        if byte < 128 then
            return low, high, offset + index + 1
        end
    end
    return nil
end

-- Protobuf.

-- The fields between `first` and `stop`, as a list, and where and why the list ends early, if it does. A field has
-- its number, its wire type, its place with the tag (from, stop), where its content begins (at), and for varints and
-- fixed ones the halves of its value (low, high).
local function fields_of(tvb, first, stop)
    local found, at = {}, first
    while at < stop do
        local from = at
        local tag, beyond, content = varint(tvb, at, stop)
        if not tag or beyond ~= 0 then
            return found, from, "a field's number does not read"
        end
        local field = { number = math.floor(tag / 8), wire = tag % 8, from = from, at = content, low = 0, high = 0 }
        if field.number == 0 then
            return found, from, "a field has the number 0"
        elseif field.wire == 0 then
            field.low, field.high, field.stop = varint(tvb, content, stop)
            if not field.low then
                return found, from, "a number does not end"
            end
        elseif field.wire == 1 or field.wire == 5 then
            field.stop = content + (field.wire == 1 and 8 or 4)
            if field.stop > stop then
                return found, from, "a number is cut off"
            end
            field.low = tvb(content, 4):le_uint()
            field.high = field.wire == 1 and tvb(content + 4, 4):le_uint() or 0
        elseif field.wire == 2 then
            local size, more, begin = varint(tvb, content, stop)
            if not size or more ~= 0 or begin + size > stop then
                return found, from, "a field is longer than the message it is in"
            end
            field.at, field.stop = begin, begin + size
        else
            return found, from, "a field has the wire type " .. string.format("%d", field.wire)
        end
        found[#found + 1] = field
        at = field.stop
    end
    return found
end

-- A message's description becomes fields for Wireshark: { [number] = { name, kind, label, inner message } }.
local KINDS = {
    string = { ProtoField.string, 2 },
    bytes = { ProtoField.bytes, 2 },
    message = { ProtoField.none, 2 },
    uint64 = { ProtoField.uint64, 0 },
    uint32 = { ProtoField.uint32, 0 },
    bool = { ProtoField.bool, 0 },
    status = { ProtoField.uint32, 0, STATUS },
    action = { ProtoField.uint32, 0, ACTIONS },
    header = { nil, 0 }, -- shown before, as the message's id or control code
}

local function declare(prefix, message, registered)
    for _, entry in pairs(message) do
        local name, kind, label = entry[1], entry[2], entry[3]
        local abbreviation = prefix .. "." .. name
        local make, names = KINDS[kind][1], KINDS[kind][3]
        if make and not registered[abbreviation] then
            registered[abbreviation] = names and make(abbreviation, label, base.DEC, names) or make(abbreviation, label)
        end
        entry.field = registered[abbreviation]
        if kind == "message" then
            declare(prefix, entry[4], registered)
        end
    end
end

local function text_of(range)
    local text = range:raw()
    return text:find("[%c\128-\255]") and range:bytes():tohex(true) or text
end

-- Adds the message between `first` and `stop` to `tree`; `values` takes each field's value by name.
local function show_message(tvb, first, stop, message, tree, values)
    local found, place, reason = fields_of(tvb, first, stop)
    for _, field in ipairs(found) do
        local entry = message[field.number]
        local whole = tvb(field.from, field.stop - field.from)
        if not entry then
            tree:add(whole, string.format("Field %d (%s)", field.number, TYPE_OF_WIRE[field.wire]))
        elseif KINDS[entry[2]][2] ~= field.wire then
            tree:add_proto_expert_info(malformed, entry[3] .. " has another wire type")
        elseif entry[2] == "message" then
            local inner = {}
            show_message(tvb, field.at, field.stop, entry[4], tree:add(entry.field, whole), inner)
            values[entry[1]] = inner
        elseif field.wire == 2 then
            local content = tvb:range(field.at, field.stop - field.at)
            local item = tree:add(entry.field, content)
            values[entry[1]] = content
            if entry[2] == "bytes" and content:len() > 0 then
                item:append_text(" (" .. text_of(content):sub(1, 80) .. ")")
            end
        elseif entry[2] ~= "header" then
            local value = UInt64(field.low, field.high)
            values[entry[1]] = value
            tree:add(entry.field, whole, entry[2] == "uint64" and value or field.low)
        end
    end
    if place then
        tree:add_proto_expert_info(malformed, string.format("Byte %d of the message: %s", place, reason))
    end
end

-- MessagePack.

-- How many bytes of length and of content follow a type's first byte, and whether the length counts values.
local SIZED = {
    [0xc4] = { 1, 0 }, [0xc5] = { 2, 0 }, [0xc6] = { 4, 0 }, [0xc7] = { 1, 1 }, [0xc8] = { 2, 1 }, [0xc9] = { 4, 1 },
    [0xd9] = { 1, 0 }, [0xda] = { 2, 0 }, [0xdb] = { 4, 0 },
    [0xdc] = { 2, values = 1 }, [0xdd] = { 4, values = 1 }, [0xde] = { 2, values = 2 }, [0xdf] = { 4, values = 2 },
}
local FIXED = {
    [0xc0] = 0, [0xc2] = 0, [0xc3] = 0, [0xca] = 4, [0xcb] = 8, [0xcc] = 1, [0xcd] = 2, [0xce] = 4, [0xcf] = 8,
    [0xd0] = 1, [0xd1] = 2, [0xd2] = 4, [0xd3] = 8, [0xd4] = 2, [0xd5] = 3, [0xd6] = 5, [0xd7] = 9, [0xd8] = 17,
}

-- Reads the head of the value at `offset`: where its content begins, how many bytes that has and how many values are
-- in it; nil if it does not end before `stop`.
local function head_of(tvb, offset, stop)
    if offset >= stop then
        return nil
    end
    local first = tvb(offset, 1):uint()
    local size, values = FIXED[first] or 0, 0
    local at = offset + 1
    local sized = SIZED[first]
    if sized then
        at = at + sized[1]
        if at > stop then
            return nil
        end
        local count = tvb(offset + 1, sized[1]):uint()
        if sized.values then
            values = count * sized.values
        else
            size = count + sized[2]
        end
    elseif first >= 0x80 and first < 0x90 then
        values = (first - 0x80) * 2
    elseif first >= 0x90 and first < 0xa0 then
        values = first - 0x90
    elseif first >= 0xa0 and first < 0xc0 then
        size = first - 0xa0
    elseif first == 0xc1 then
        return nil
    end
    if at + size > stop then
        return nil
    end
    return at, size, values, first
end

-- Where the value at `offset` ends; nil if that is not before `stop`.
local function after(tvb, offset, stop)
    local waiting = 1
    while waiting > 0 do
        local at, size, values = head_of(tvb, offset, stop)
        if not at then
            return nil
        end
        offset = at + size
        waiting = waiting - 1 + values
    end
    return offset
end

-- The halves of the unsigned number at `offset`, nil if there is none.
local function unsigned(tvb, offset, stop)
    local at, size, _, first = head_of(tvb, offset, stop)
    if not at then
        return nil
    elseif first < 0x80 then
        return first, 0
    elseif (first >= 0xcc and first <= 0xce) or (first >= 0xd0 and first <= 0xd2 and tvb(at, 1):uint() < 0x80) then
        return tvb(at, size):uint(), 0
    elseif first == 0xcf or (first == 0xd3 and tvb(at, 1):uint() < 0x80) then
        return tvb(at + 4, 4):uint(), tvb(at, 4):uint()
    end
    return nil
end

-- Where messages carry their id and control code. Each function gives a table: id and control are
-- {low, high, range}, and whether such a message, if it is Normal, begins a call.

local function protobuf_header(tvb, first, stop, id, control, beginning)
    local header = { begins = beginning == nil }
    for _, field in ipairs((fields_of(tvb, first, stop))) do
        local value = { low = field.low, high = field.high, range = tvb(field.from, field.stop - field.from) }
        if field.number == id and field.wire ~= 2 then
            header.id = value
        elseif field.number == control and field.wire ~= 2 then
            header.control = value
        elseif field.number == beginning then
            header.begins = true
        end
    end
    return header
end

local function msgpack_header(tvb, first, stop, id, control)
    local header = { begins = true }
    local at, _, values, kind = head_of(tvb, first, stop)
    if not at or values == 0 then
        return header
    end
    local map = kind >= 0xde or kind < 0x90
    for index = 0, (map and values / 2 or values) - 1 do
        local name = string.format("%d", index)
        if map then
            local begin, size = head_of(tvb, at, stop)
            name = begin and size > 0 and tvb(begin, size):raw() or ""
            at = after(tvb, at, stop)
        end
        local ends = at and after(tvb, at, stop)
        if not ends then
            return header
        end
        local low, high = unsigned(tvb, at, stop)
        if low and name == id then
            header.id = { low = low, high = high, range = tvb(at, ends - at) }
        elseif low and name == control then
            header.control = { low = low, high = high, range = tvb(at, ends - at) }
        end
        at = ends
    end
    return header
end

-- Calls: which response belongs to which request. Wireshark shows packets again in any order, so what the first look
-- found is kept by packet.

local open, calls, paths

function messages.init()
    open, calls, paths = {}, {}, {}
end

-- The connection's name. tcp.stream would be one, but is not there on a first look without a tree.
local function connection_of(pinfo, direction)
    local source, target = tostring(pinfo.src) .. " " .. pinfo.src_port, tostring(pinfo.dst) .. " " .. pinfo.dst_port
    return direction == REQUEST and source .. " " .. target or target .. " " .. source
end

-- The call that a message with this id belongs to; `begins` if the message is a call's first.
local function call_of(pinfo, direction, id, begins)
    local place = string.format("%d %d %s", pinfo.number, direction, id)
    if pinfo.visited then
        return calls[place]
    end
    local connection = connection_of(pinfo, direction)
    local name = connection .. " " .. id
    local call = open[name]
    if direction == REQUEST and begins then
        call = { connection = connection, request = pinfo.number, began = pinfo.rel_ts }
        open[name] = call
    elseif direction == RESPONSE and call and not call.response then
        call.response = pinfo.number
    end
    calls[place] = call
    return call
end

local function show_call(pinfo, tree, call, direction)
    if not call then
        if direction == RESPONSE then
            tree:add_proto_expert_info(unmatched)
        end
    elseif direction == RESPONSE then
        tree:add(shown.request_in, call.request):set_generated()
        local elapsed = pinfo.rel_ts - call.began
        local seconds = math.floor(elapsed)
        local time = NSTime.new(seconds, math.floor((elapsed - seconds) * 1e9 + 0.5))
        tree:add(shown.time, time):set_generated()
    elseif call.response then
        tree:add(shown.response_in, call.response):set_generated()
    end
end

-- The frame at `offset`: bytes of prefix and of payload. False if more bytes are needed to know them, else nil and
-- the reason.
local function varint_prefix(tvb, offset, stop)
    local low, high, at = varint(tvb, offset, stop)
    if low == false then
        return false
    elseif not low then
        return nil, "The length is longer than ten bytes or over 64 bits"
    end
    return at - offset, high == 0 and low or high * 4294967296.0
end

local function msgpack_prefix(tvb, offset, stop)
    if tvb(offset, 1):uint() ~= 0xce then
        return nil, "The length does not begin with 0xce"
    elseif offset + 5 > stop then
        return false
    end
    return 5, tvb(offset + 1, 4):uint()
end

-- One message: its line in the tree, its RPC header, and its content as the protocol has it.
local function show_frame(protocol, tvb, pinfo, root, offset, prefix, size, direction)
    local first, stop = offset + prefix, offset + prefix + size
    local tree = root:add(messages, tvb(offset, prefix + size))
    tree:add(shown.direction, direction):set_generated()
    tree:add(shown.length, tvb(offset, prefix), size)
    local summary = direction == REQUEST and "Request" or "Response"
    local header = protocol.header(tvb, first, stop, direction)
    local call
    if header then
        local id = header.id and UInt64(header.id.low, header.id.high) or UInt64(0)
        local control = header.control and header.control.low or NORMAL
        if header.control and (header.control.high ~= 0 or control > END) then
            control = CANCEL
        end
        local empty = tvb(first, 0)
        tree:add(shown.id, header.id and header.id.range or empty, id)
        tree:add(shown.control, header.control and header.control.range or empty, control)
        summary = string.format("%s %s", summary, tostring(id))
        if control ~= NORMAL then
            summary = summary .. (control == END and " End" or " Cancel")
        end
        call = call_of(pinfo, direction, tostring(id), header.begins and control == NORMAL)
        if call or protocol.every_id_is_a_call then
            show_call(pinfo, tree, call, direction)
        end
    end
    tree:append_text(", " .. summary)
    local content = ""
    if size > 0 then
        content = protocol.show(tvb, first, stop, pinfo, root, tree, direction, call) or ""
    end
    return content == "" and summary or summary .. " " .. content
end

-- All of a TCP stream that is there: whole messages are shown, of the last one more is asked for.
local function dissect(protocol, tvb, pinfo, root)
    local offset, stop = 0, tvb:len()
    local direction = RESPONSE
    local port = pinfo.match_uint -- by which this was called: the server's
    if pinfo.dst_port == port or (pinfo.src_port ~= port and pinfo.dst_port < pinfo.src_port) then
        direction = REQUEST
    end
    pinfo.cols.info:clear()
    local before = tostring(pinfo.cols.info) -- of messages that end in the same packet
    local summaries = { before ~= "" and "" or nil }
    while offset < stop do
        local prefix, size = protocol.prefix(tvb, offset, stop)
        local reason = prefix == nil and size
        if prefix and size > protocol.proto.prefs.limit then
            reason = string.format("A message of %.0f bytes is over the limit", size)
        end
        if reason then
            root:add(messages, tvb(offset)):add_proto_expert_info(malformed, reason)
            summaries[#summaries + 1] = "Malformed"
            offset = stop
        elseif not prefix or offset + prefix + size > stop then
            if pinfo.can_desegment > 0 then
                pinfo.desegment_offset = offset
                pinfo.desegment_len = prefix and offset + prefix + size - stop or DESEGMENT_ONE_MORE_SEGMENT
            else
                root:add(messages, tvb(offset)):add_proto_expert_info(truncated, "The message is not here as a whole")
                summaries[#summaries + 1] = "Truncated"
            end
            break
        else
            summaries[#summaries + 1] = show_frame(protocol, tvb, pinfo, root, offset, prefix, size, direction)
            offset = offset + prefix + size
        end
    end
    pinfo.cols.protocol = protocol.column
    pinfo.cols.info:append(table.concat(summaries, ", "))
    pinfo.cols.info:fence()
    return stop
end

-- The protocols.

-- Has `range` shown by the dissector called `name`, if this Wireshark has it.
local function call_dissector(name, message_type, range, pinfo, root, tree)
    local found, dissector = pcall(Dissector.get, name)
    if not found or not dissector then
        return
    end
    if message_type then
        pinfo.private["pb_msg_type"] = message_type
    end
    if not pcall(dissector.call, dissector, range:tvb(), pinfo, root) then
        tree:add_proto_expert_info(malformed, "The message does not read to its end")
    end
    pinfo.cols.info:clear()
end

local protobuf_messages = {
    proto = messages,
    column = "Protosocket",
    prefix = varint_prefix,
    every_id_is_a_call = true,
    header = function(tvb, first, stop, direction)
        local prefs = messages.prefs
        local id, control = prefs.request_id, prefs.request_control
        if direction == RESPONSE then
            id, control = prefs.response_id, prefs.response_control
        end
        return id > 0 and protobuf_header(tvb, first, stop, id, control) or nil
    end,
    show = function(tvb, first, stop, pinfo, root, tree, direction)
        local name = direction == REQUEST and messages.prefs.request_type or messages.prefs.response_type
        local message_type = name ~= "" and "message," .. name or nil
        local content = tvb(first, stop - first)
        tree:add(shown.payload, content)
        call_dissector("protobuf", message_type, content, pinfo, root, tree)
    end,
}

local msgpack_messages = {
    proto = msgpack,
    column = "Protosocket",
    prefix = msgpack_prefix,
    every_id_is_a_call = true,
    header = function(tvb, first, stop, direction)
        local prefs = msgpack.prefs
        local id, control = prefs.request_id, prefs.request_control
        if direction == RESPONSE then
            id, control = prefs.response_id, prefs.response_control
        end
        return id ~= "" and msgpack_header(tvb, first, stop, id, control) or nil
    end,
    show = function(tvb, first, stop, pinfo, root, tree)
        if not after(tvb, first, stop) then
            tree:add_proto_expert_info(malformed, "The message is no whole MessagePack value")
            return "Malformed"
        end
        local content = tvb(first, stop - first)
        tree:add(shown.payload, content)
        call_dissector("msgpack", nil, content, pinfo, root, tree)
    end,
}

-- proto/protosocket_cache.proto
local NAMESPACE, KEY = { "namespace", "string", "Namespace" }, { "key", "bytes", "Key" }
local VALUE, TTL = { "value", "bytes", "Value" }, { "ttl", "uint64", "Time to live (ms)" }
local CACHE_COMMANDS = {
    { "auth", "message", "Authenticate", { { "token", "string", "Token" } } },
    { "get", "message", "Get", { NAMESPACE, KEY } },
    { "set", "message", "Set", { NAMESPACE, KEY, VALUE, TTL } },
    { "delete", "message", "Delete", { NAMESPACE, KEY } },
    [100] = { "item", "message", "Item", { NAMESPACE, KEY, { "operation", "bytes", "Operation" } } },
    [101] = { "caches", "message", "Caches", { NAMESPACE, { "action", "action", "Action" } } },
}
local CACHE_ERROR = { { "error.code", "status", "Code" }, { "error.message", "string", "Message" } }
local CACHE_ANSWERS = {
    { "id", "header", "Id" },
    { "control", "header", "Control code" },
    [9] = { "error", "message", "Error", CACHE_ERROR },
    [10] = { "auth", "message", "Authenticate", {} },
    [11] = { "get", "message", "Get", { VALUE } },
    [12] = { "set", "message", "Set", {} },
    [13] = { "delete", "message", "Delete", {} },
    [100] = { "item", "message", "Item", { { "answer", "bytes", "Answer" } } },
    [101] = { "caches", "message", "Caches", { { "name", "string", "Name" }, { "existed", "bool", "Existed" } } },
}
local CACHE = {
    [REQUEST] = {
        [2] = { "id", "header", "Id" },
        [3] = { "control", "header", "Control code" },
        [10] = { "unary", "message", "Unary", CACHE_COMMANDS },
    },
    [RESPONSE] = CACHE_ANSWERS,
}

-- proto/cache_items.proto: what an item's operation or answer is, by the number of its only field.
local OPERATIONS = {
    "set_if", "increment", "update_ttl", "inspect", "length", "clear",
    [10] = "dictionary_set", [11] = "dictionary_get", [12] = "dictionary_fetch", [13] = "dictionary_increment",
    [14] = "dictionary_remove", [20] = "set_add", [21] = "set_remove", [22] = "set_subtract_from",
    [23] = "set_fetch", [24] = "set_sample", [25] = "set_pop", [26] = "set_contains", [30] = "list_push",
    [31] = "list_pop", [32] = "list_fetch", [33] = "list_retain", [34] = "list_remove", [35] = "list_erase",
    [40] = "sorted_set_put", [41] = "sorted_set_store", [42] = "sorted_set_increment", [43] = "sorted_set_remove",
    [44] = "sorted_set_scores", [45] = "sorted_set_rank", [46] = "sorted_set_by_rank",
    [47] = "sorted_set_by_score", [48] = "sorted_set_count",
}
local ANSWERS = {
    "done", "flag", "number", "inspected", "values", "pairs", "elements", "flags", "popped", "score", "scores",
    "scored",
}

local function only_field(range, names)
    local found = range and fields_of(range:tvb(), 0, range:len())[1]
    return found and (names[found.number] or string.format("%d", found.number)) or ""
end

-- The name and the values of the one message of `choice` that is there.
local function chosen(choice, values)
    for _, entry in pairs(choice) do
        if type(values[entry[1]]) == "table" then
            return entry[1], values[entry[1]]
        end
    end
end

local function command_summary(values)
    local name, command = chosen(CACHE_COMMANDS, values.unary or {})
    if name == "item" then
        name = only_field(command.operation, OPERATIONS)
    elseif name == "caches" then
        local number = command.action and command.action:tonumber() or 0
        name = "caches " .. (ACTIONS[number] or string.format("%d", number))
    end
    local key = command and command.key and " " .. text_of(command.key):sub(1, 80) or ""
    return (name or "") .. key
end

local function answer_summary(values)
    local name, answer = chosen(CACHE_ANSWERS, values)
    if name == "error" then
        local code = answer["error.code"] and answer["error.code"]:tonumber() or 0
        return "error " .. (STATUS[code] or string.format("%d", code))
    elseif name == "get" then
        return string.format("get %d bytes", answer.value and answer.value:len() or 0)
    elseif name == "item" then
        return only_field(answer.answer, ANSWERS)
    end
    return name or ""
end

local cache_messages = {
    proto = cache,
    column = "Protosocket Cache",
    prefix = varint_prefix,
    every_id_is_a_call = true,
    header = function(tvb, first, stop, direction)
        if direction == REQUEST then
            return protobuf_header(tvb, first, stop, 2, 3)
        end
        return protobuf_header(tvb, first, stop, 1, 2)
    end,
    show = function(tvb, first, stop, pinfo, root, tree, direction)
        local values = {}
        show_message(tvb, first, stop, CACHE[direction], root:add(cache, tvb(first, stop - first)), values)
        local item = direction == REQUEST and (values.unary or {}).item or values.item or {}
        local content = item.operation or item.answer
        if content and content:len() > 0 then
            local message_type = item.operation and "ItemOperation" or "ItemAnswer"
            call_dissector("protobuf", "message,protosocket.cache." .. message_type, content, pinfo, root, tree)
        end
        return direction == REQUEST and command_summary(values) or answer_summary(values)
    end,
}

-- proto/envelope.proto
local METADATUM = { { "metadata.key", "string", "Key" }, { "metadata.value", "bytes", "Value" } }
local ENVELOPE = {
    { "id", "header", "Id" },
    { "control", "header", "Control code" },
    { "payload", "bytes", "Payload" },
    { "method", "uint32", "Method" },
    { "path", "string", "Path" },
    { "timeout_ms", "uint64", "Timeout (ms)" },
    { "timeout_us", "uint64", "Timeout (us, to be added)" },
    { "metadata", "message", "Metadata", METADATUM },
    {
        "status", "message", "Status",
        { { "status.code", "status", "Code" }, { "status.details", "string", "Details" } },
    },
    { "trailing_metadata", "message", "Trailing metadata", METADATUM },
    { "call", "uint64", "Call" },
    { "credit", "uint64", "Credit (bytes)" },
    {
        "hello", "message", "Hello",
        {
            { "hello.version", "uint32", "Version" },
            { "hello.window", "uint64", "Window (bytes)" },
            { "hello.ping_after_ms", "uint64", "Ping after (ms)" },
            { "hello.refusal", "string", "Refusal" },
        },
    },
    { "ping", "uint64", "Ping" },
    { "pong", "uint64", "Pong" },
    { "going_away", "bool", "Going away" },
    { "streams", "bool", "The caller takes a stream" },
}

-- The path of a call's method: it is sent in the first call that uses it, later ones have its number.
local function path_of(values, call, visited)
    if call and values.method and not visited then
        local method = call.connection .. " " .. tostring(values.method)
        paths[method] = values.path and text_of(values.path) or paths[method]
        call.path = paths[method]
    end
    return call and call.path
end

local function envelope_summary(values, path)
    local parts = { path }
    if values.status then
        local code = values.status["status.code"] and values.status["status.code"]:tonumber() or 0
        parts[#parts + 1] = STATUS[code] or string.format("%d", code)
    end
    for _, name in ipairs({ "hello", "ping", "pong", "credit", "going_away" }) do
        parts[#parts + 1] = values[name] and name or nil
    end
    return table.concat(parts, " ")
end

local grpc_messages = {
    proto = grpc,
    column = "Protosocket gRPC",
    prefix = varint_prefix,
    every_id_is_a_call = false, -- 0 is none
    header = function(tvb, first, stop)
        return protobuf_header(tvb, first, stop, 1, 2, 4)
    end,
    show = function(tvb, first, stop, pinfo, root, tree, direction, call)
        local values = {}
        local envelope = root:add(grpc, tvb(first, stop - first))
        show_message(tvb, first, stop, ENVELOPE, envelope, values)
        local path = path_of(values, call, pinfo.visited)
        local content = values.payload
        if path and content and content:len() > 0 then
            local role = direction == REQUEST and "request" or "response"
            local message_type = "application/grpc," .. path .. "," .. role
            call_dissector("protobuf", message_type, content, pinfo, root, tree)
        end
        return envelope_summary(values, path)
    end,
}

-- Registration and preferences.

local protocols = { protobuf_messages, msgpack_messages, cache_messages, grpc_messages }
local tcp = DissectorTable.get("tcp.port")

-- Wireshark takes a port away from whoever has it, so all are given back before any is taken.
local function follow_ports()
    local changed = false
    for _, protocol in ipairs(protocols) do
        changed = changed or protocol.ports ~= protocol.proto.prefs.ports
    end
    if not changed then
        return -- so that what the user decoded otherwise stays so
    end
    for _, protocol in ipairs(protocols) do
        if protocol.ports and protocol.ports ~= "" then
            tcp:remove(protocol.ports, protocol.proto)
        end
    end
    for _, protocol in ipairs(protocols) do
        protocol.ports = protocol.proto.prefs.ports
        if protocol.ports ~= "" then
            tcp:add(protocol.ports, protocol.proto)
        end
    end
end

local function register(protocol, ports)
    local proto = protocol.proto
    proto.prefs.ports = Pref.range("Server ports", ports, "TCP ports of servers; what goes to them is a request", 65535)
    proto.prefs.limit = Pref.uint("Largest message", 4194304, "In bytes; a longer one is taken for malformed")
    proto.dissector = function(tvb, pinfo, root)
        return dissect(protocol, tvb, pinfo, root)
    end
    proto.prefs_changed = follow_ports
    tcp:add_for_decode_as(proto)
end

local function fields_from(protocol, prefix, ...)
    local registered = {}
    for _, message in ipairs({ ... }) do
        declare(prefix, message, registered)
    end
    protocol.proto.fields = registered
end

fields_from(cache_messages, "protosocket_cache", CACHE[REQUEST], CACHE[RESPONSE])
fields_from(grpc_messages, "protosocket_grpc", ENVELOPE)

messages.prefs.request_id = Pref.uint("Field of the id in requests", 1, "Its number; 0: the messages are no RPC")
messages.prefs.request_control = Pref.uint("Field of the control code in requests", 2, "Its number")
messages.prefs.response_id = Pref.uint("Field of the id in responses", 1, "Its number; 0: the messages are no RPC")
messages.prefs.response_control = Pref.uint("Field of the control code in responses", 2, "Its number")
local TYPE_HELP = "As package.Message; ProtoBuf's own preferences say where its .proto file is"
messages.prefs.request_type = Pref.string("Type of requests", "", TYPE_HELP)
messages.prefs.response_type = Pref.string("Type of responses", "", TYPE_HELP)

local PLACE_HELP = "Its index in an array, counted from 0, or its name in a map; empty: the messages are no RPC"
msgpack.prefs.request_id = Pref.string("The id in requests", "0", PLACE_HELP)
msgpack.prefs.request_control = Pref.string("The control code in requests", "1", PLACE_HELP)
msgpack.prefs.response_id = Pref.string("The id in responses", "0", PLACE_HELP)
msgpack.prefs.response_control = Pref.string("The control code in responses", "1", PLACE_HELP)

register(protobuf_messages, "")
register(msgpack_messages, "")
register(cache_messages, "7300,7400")
register(grpc_messages, "")
follow_ports()
