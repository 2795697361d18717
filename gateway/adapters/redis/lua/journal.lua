-- acknowledge: marks entries as written, then trims what every group of readers has acknowledged.
--
-- KEYS  1 usage stream
-- ARGV  1 group · 2… positions
-- Example  FCALL <library>_acknowledge 1 {s0}:usage journal 1777593600000-0 1777593600001-0
-- Rules
--   * A group's watermark is its oldest unacknowledged entry, else the one after the last it was
--     given. All below the lowest watermark goes. Never by length: a backlog is money.
-- Reply  number of entries trimmed (integer)

local function watermark_of(stream, group)
  local facts = {}
  for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
  if facts['pending'] > 0 then
    return redis.call('XPENDING', stream, facts['name'], '-', '+', '1')[1][1]
  end
  local ms, sequence = parse_position(facts['last-delivered-id'])
  return text(ms) .. '-' .. text(sequence + 1)
end

redis.register_function {
  function_name = LIBRARY .. '_acknowledge',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local stream = keys[1]
    redis.call('XACK', stream, unpack(args))
    local lowest
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      local watermark = watermark_of(stream, group)
      if not lowest or is_before(watermark, lowest) then lowest = watermark end
    end
    return redis.call('XTRIM', stream, 'MINID', lowest)
  end,
}
