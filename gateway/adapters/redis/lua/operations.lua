-- operations.lua: finds out that this server has forgotten what it once acknowledged to a worker,
-- and lets the worker bring it back. Model: admission/operations.py.
--
-- A worker numbers its operations and says with each up to where all were answered (`acked`), and
-- which ones it gave up (`skipped`, '7 9'). A server that has not seen all of that has lost it in a
-- failover: it sets the worker's `rollback`, and answers ROLLBACK to all but the healing until that
-- is complete. `last` has no gap below it; `beyond` is what was seen after a gap.
--
-- Functions here
--   begin_healing   KEYS 1 worker · 2 control   ARGV 1 worker · 2 token
--                   Reply  worker HEALING epoch|''  (strings; epoch '' while accounts are not set)
--   finish_healing  KEYS 1 worker   ARGV 1 worker · 2 token · 3 steps · 4 last operation begun
--                   Reply  worker CLEARED|ROLLBACK  (ROLLBACK: another failover, heal once more)
-- Example  FCALL <library>_begin_healing 2 {s0}:worker:w1 {s0}:control w1 77
-- Rules
--   * The steps of a healing (reassert) are counted, so that losing some of them is noticed too.

local WORKER_TTL_MS = 24 * HOUR_MS

local function note(seen, last, numbers)
  for number in string.gmatch(numbers, '%d+') do seen[tonumber(number)] = true end
  while seen[last + 1] do last = last + 1 end
  return last
end

local function write_seen(key, seen, last)
  local beyond = {}
  for number in pairs(seen) do
    if number > last then beyond[#beyond + 1] = text(number) end
  end
  redis.call('HSET', key, 'last', last, 'beyond', table.concat(beyond, ' '))
  redis.call('PEXPIRE', key, WORKER_TTL_MS)
end

-- Whether the worker has to heal first. If not, the operation is noted (number 0: there is none).
-- op '': nobody counts.
local function has_forgotten(key, op, acked, skipped)
  if op == '' then return false end
  local number = tonumber(op)
  local stored = redis.call('HMGET', key, 'last', 'beyond', 'rollback')
  if stored[3] then return true end
  local last, beyond = tonumber(stored[1] or '0'), stored[2] or ''
  if beyond == '' and skipped == '' and number == last + 1 and tonumber(acked) <= last and last > 0 then
    redis.call('HSET', key, 'last', number)
    return false
  end
  local seen = {}
  last = note(seen, last, beyond)
  last = note(seen, last, skipped)
  if tonumber(acked) > last then
    redis.call('HSET', key, 'rollback', '1')
    redis.call('PEXPIRE', key, WORKER_TTL_MS)
    return true
  end
  if number > 0 then last = note(seen, last, op) end
  write_seen(key, seen, last)
  return false
end

-- Whether this is the next step of the healing that stands; a step that comes again is one, too.
local function is_next_step(key, token, step)
  local stored = redis.call('HMGET', key, 'healing', 'healed')
  if stored[1] ~= token then return false end
  local healed, number = tonumber(stored[2]), tonumber(step)
  if number ~= healed and number ~= healed + 1 then return false end
  redis.call('HSET', key, 'healed', number)
  return true
end

redis.register_function {
  function_name = LIBRARY .. '_begin_healing',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    redis.call('HSET', keys[1], 'rollback', '1', 'healing', args[2], 'healed', '0')
    redis.call('PEXPIRE', keys[1], WORKER_TTL_MS)
    local control = redis.call('HMGET', keys[2], 'building', 'epoch')
    return { args[1], 'HEALING', not control[1] and control[2] or '' }
  end,
}

redis.register_function {
  function_name = LIBRARY .. '_finish_healing',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local stored = redis.call('HMGET', keys[1], 'healing', 'healed')
    if stored[1] ~= args[2] or stored[2] ~= args[3] then return { args[1], 'ROLLBACK' } end
    redis.call('DEL', keys[1])
    redis.call('HSET', keys[1], 'last', args[4])
    redis.call('PEXPIRE', keys[1], WORKER_TTL_MS)
    return { args[1], 'CLEARED' }
  end,
}
