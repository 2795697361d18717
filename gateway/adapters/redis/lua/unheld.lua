-- count: counts a charge that came without its hold, as far as the books did not have it before.
--
-- KEYS  1 hold · then the accounts
-- ARGV  1 id · 2 now ('' in production) · 3 entry of its record in the usage stream
--       then of each account: posted · overrun · instant_ms until which it is asked for
-- Example  FCALL <library>_count 2 {s0}:hold:7 {s0}:usd:…:2026-05
--                7 '' 1777593600000-0 9500000 0 1780000000000
-- Rules
--   * Only the books remember for ever, so only they know whether a charge that comes without a hold
--     is new: whoever is about to write its record there asks them, and has it counted here first.
--   * A charge that was counted meanwhile (its hold was told again), or whose tombstone is another
--     one's by now, is left alone: so it counts once, however often this is asked.
--   * An account that was set from the books after the record was journalled has it already.
-- Reply  id COUNTED|STANDS then the numbers of the accounts that were changed, from 1

local function count_in(key, entry, now_ms, posted, overrun, until_ms)
  local as_of = redis.call('HGET', key, 'as_of')
  if as_of and not is_before(as_of, entry) then return false end
  local is_new = redis.call('EXISTS', key) == 0
  if is_new and until_ms <= now_ms then return false end
  redis.call('HINCRBY', key, 'posted', posted)
  if overrun > 0 then redis.call('HINCRBY', key, 'overrun', overrun) end
  if is_new then redis.call('PEXPIRE', key, until_ms - now_ms) end
  return true
end

redis.register_function {
  function_name = LIBRARY .. '_count',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local id, now_ms, entry = args[1], instant_ms(args[2]), args[3]
    local state, rest = read_hold(keys[1])
    if state ~= 'unheld' or string.match(rest, '^%d+ %d+ (%S+)$') ~= entry then
      return { id, 'STANDS' }
    end
    local reply = { id, 'COUNTED' }
    for number = 2, #keys do
      local at = 4 + (number - 2) * 3
      local posted, overrun = tonumber(args[at]), tonumber(args[at + 1])
      if count_in(keys[number], entry, now_ms, posted, overrun, tonumber(args[at + 2])) then
        reply[#reply + 1] = number - 1
      end
    end
    redis.call('SET', keys[1], table.concat({ 'posted', rest }, ' '),
    'PX', COUNTED_TOMBSTONE_MS)
    return reply
  end,
}
