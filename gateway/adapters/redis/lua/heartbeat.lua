-- heartbeat: keeps the holds of a worker's running calls, and looks whether any was forgotten.
--
-- KEYS  1 due · 2 worker · 3 control · then the holds
-- ARGV  1 worker · 2 now ('' in production) · 3 op ('0': none) · 4 acked · 5 skipped · 6 ttl_ms
--       then the ids, as the holds
-- Example  FCALL <library>_heartbeat 4 {s0}:due {s0}:worker:w1 {s0}:control {s0}:hold:7
--                w1 '' 0 41 '' 30000 7
-- Rules
--   * A pending hold's deadline only ever moves away. An overdue one that nobody has charged yet is
--     kept, too: its worker is alive.
--   * A lease that has run out is not brought back: somebody else may have its place (I8).
--   * A hold that ended is left alone. One that is not known at all was lost.
-- Reply  worker OK|ROLLBACK at_ms epoch|'' then the ids that are not known

local function extend(hold_key, due_key, id, now_ms, deadline_ms)
  local state, rest = read_hold(hold_key)
  if state ~= 'pending' then return state ~= nil end
  redis.call('ZADD', due_key, 'XX', 'GT', deadline_ms, id)
  local flat = cmsgpack.unpack(rest)[2]
  for at = 1, #flat, CLAIM_WIDTH do
    if flat[at] == 'concurrency' then
      local ends_ms = redis.call('ZSCORE', flat[at + 1], id)
      if ends_ms and tonumber(ends_ms) > now_ms then
        redis.call('ZADD', flat[at + 1], 'XX', 'GT', deadline_ms, id)
        redis.call('PEXPIRE', flat[at + 1], LEASES_TTL_MS)
      end
    end
  end
  return true
end

redis.register_function {
  function_name = LIBRARY .. '_heartbeat',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local now_ms = instant_ms(args[2])
    local verdict = has_forgotten(keys[2], args[3], args[4], args[5]) and 'ROLLBACK' or 'OK'
    local control = redis.call('HMGET', keys[3], 'building', 'epoch')
    local reply = { args[1], verdict, now_ms, not control[1] and control[2] or '' }
    local deadline_ms = now_ms + tonumber(args[6])
    for number = 4, #keys do
      local id = args[number + 3]
      if not extend(keys[number], keys[1], id, now_ms, deadline_ms) then reply[#reply + 1] = id end
    end
    return reply
  end,
}
