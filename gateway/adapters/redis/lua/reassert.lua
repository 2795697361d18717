-- reassert: brings back a hold that a failover lost, and then its ending.
--
-- KEYS  1 hold · 2 due · 3 worker · 4 usage stream · then each claim's account
-- ARGV  1 id · 2 now ('' in production) · 3 token of the healing ('': none) · 4 its step · 5 ttl_ms
--       6 draft record · 7 at_ms · 8 rung · 9 n · 10 number of claims ('-1': the hold stays lost),
--       then of each: kind · amount · capacity · period_ms · ms until its balance may go
--       · number of states, then the used and resets_at_ms of each claim of the rung
--       · ending: '' | void | post · charge · tokens · rank · record
-- Example  FCALL <library>_reassert 5 {s0}:hold:7 {s0}:due {s0}:worker:w1 {s0}:usage {s0}:usd:…
--                7 '' 77 1 30000 '{}' 1777593600000 0 0 1 usd 10000000 0 0 259200000 0 ''
-- Rules
--   * No hold: it is made again, whatever the limits say now; it was granted.
--   * A hold or an ending that stands is left as it is.
--   * A charge that came before its hold was known (unheld) now counts in the balances; not in one
--     that was set from the books after that charge had been journalled.
--   * The ending then does what post or void do, once.
--   * Runs when memory is full: it is what sets the books right.
-- Reply  id ROLLBACK|RESTORED|STANDS|SETTLED|ENDED  (ROLLBACK: not the next step; heal from the start)

local function read_remembered(keys, args, at)
  local count, claims = tonumber(args[at]), {}
  for number = 1, count do
    local first = at + 1 + (number - 1) * 5
    claims[number] = {
      kind = args[first], key = keys[4 + number], amount = tonumber(args[first + 1]),
      capacity = tonumber(args[first + 2]), period_ms = tonumber(args[first + 3]),
      keep_ms = tonumber(args[first + 4]),
    }
  end
  return claims, at + 1 + count * 5
end

local function take_again(claim, id, now_ms, deadline_ms)
  if claim.kind == 'usd' then
    local is_new = redis.call('EXISTS', claim.key) == 0
    redis.call('HINCRBY', claim.key, 'pending', claim.amount)
    if is_new then redis.call('PEXPIRE', claim.key, claim.keep_ms) end
  elseif claim.kind == 'concurrency' then
    take_lease(claim.key, id, now_ms, deadline_ms)
  else
    local backlog = read_backlog(claim.key, claim.capacity, now_ms)
    write_backlog(claim.key, backlog + claim.amount * claim.period_ms, claim.capacity, now_ms)
  end
end

local function restore(keys, args, claims, at, now_ms)
  local deadline_ms, flat = now_ms + tonumber(args[5]), {}
  for _, claim in ipairs(claims) do
    take_again(claim, args[1], now_ms, deadline_ms)
    local last = #flat
    flat[last + 1], flat[last + 2], flat[last + 3] = claim.kind, claim.key, claim.amount
    flat[last + 4], flat[last + 5] = claim.capacity, claim.period_ms
  end
  local at_ms = tonumber(args[7])
  local receipt = { args[1], 'GRANTED', at_ms, tonumber(args[8]), 0, tonumber(args[9]) }
  for number = 1, 2 * tonumber(args[at]) do
    receipt[#receipt + 1] = tonumber(args[at + number]) or ''
  end
  write_hold(keys[1], keys[2], args[1], deadline_ms, at_ms, flat, receipt, args[6])
end

-- Counts what an unheld post charged in every balance that does not have it from the books.
local function charge_unheld(claims, charge, entry)
  for _, claim in ipairs(claims) do
    if claim.kind == 'usd' then
      local as_of = redis.call('HGET', claim.key, 'as_of')
      if not as_of or is_before(as_of, entry) then
        local is_new = redis.call('EXISTS', claim.key) == 0
        redis.call('HINCRBY', claim.key, 'posted', charge)
        if charge > claim.amount then
          redis.call('HINCRBY', claim.key, 'overrun', charge - claim.amount)
        end
        if is_new then redis.call('PEXPIRE', claim.key, claim.keep_ms) end
      end
    end
  end
end

local function bring_back(keys, args, now_ms)
  local claims, at = read_remembered(keys, args, 10)
  local state, rest = read_hold(keys[1])
  if not state then
    restore(keys, args, claims, at, now_ms)
    return 'RESTORED', at
  elseif state == 'pending' then
    return 'STANDS', at
  elseif state == 'unheld' then
    local charge, entry = string.match(rest, '^(%d+) %d+ (%S+)$')
    charge_unheld(claims, tonumber(charge), entry)
    redis.call('SET', keys[1], table.concat({ 'posted', rest }, ' '),
      'PX', COUNTED_TOMBSTONE_MS)
    return 'SETTLED', at
  end
  return 'ENDED', at
end

redis.register_function {
  function_name = LIBRARY .. '_reassert',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local id, now_ms = args[1], instant_ms(args[2])
    if args[3] ~= '' and not is_next_step(keys[3], args[3], args[4]) then
      return { id, 'ROLLBACK' }
    end
    local verdict, at = 'ENDED', 11
    if args[10] ~= '-1' then verdict, at = bring_back(keys, args, now_ms) end
    at = at + 1 + 2 * tonumber(args[at])
    if args[at] == 'post' then
      post(keys, keys[4], id, now_ms, {
        charge = tonumber(args[at + 1]), tokens = tonumber(args[at + 2]),
        rank = tonumber(args[at + 3]), record = args[at + 4],
      })
    elseif args[at] == 'void' then
      void(keys, id, now_ms)
    end
    return { id, verdict }
  end,
}
