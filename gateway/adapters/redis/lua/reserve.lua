-- reserve: takes the first rung whose claims all fit, whole; or changes nothing.
--
-- KEYS  1 hold · 2 due · 3 worker · 4 control · then, rung by rung and claim by claim: a balance's
--       key in its earlier windows (oldest first), its current and its following window; the one key
--       of a bucket or lease set
-- ARGV  1 id · 2 now ('' in production) · 3 op · 4 acked · 5 skipped · 6 epoch ('': any) · 7 ttl_ms
--       8 draft record · number of stops, the stop fields · number of editions, field and version of
--       each · the rungs: little-endian doubles in one argument (each argument of its own would cost
--       Redis more than looking at it): number of rungs, then per rung: number of claims · least n ·
--       most n, and ten for each claim: kind (1 usd, 2 requests, 3 tokens, 4 concurrency) · enforced
--       0|1 · amount · unit · ceiling (a bucket's capacity, a lease set's places), and then
--         usd              current start · boundary · following end · ms it is kept beyond its
--                          window · number of earlier ones
--         requests|tokens  period_ms, and four zeros
--         concurrency      five zeros
-- Example (one rung with one budget of 1 USD and a hold of 0.01 USD)
--   FCALL <library>_reserve 6 {s0}:hold:7 {s0}:due {s0}:worker: {s0}:control
--         {s0}:usd:…:2026-05 {s0}:usd:…:2026-06
--         7 '' '' '' '' '' 30000 '{}' 1 stop:org/acme 0 <1, 1 0 0, 1 1 10000000 0 1000000000
--         1777593600000 1780272000000 1782864000000 0 0>
-- Rules
--   * A worker that this server forgot something of has to heal first.
--   * A hold that stands answers with the receipt it was given: same id, same receipt.
--   * A stop, a newer edition of what the plan was made from, or accounts that are not set: no.
--   * A balance fits if posted + pending + amount <= ceiling, in the window that holds the server's
--     now (and the earlier ones that count). One that does not fit sends the call to the next rung.
--   * A bucket fits if backlog + amount <= capacity, a lease if there are fewer than limit that are
--     alive. What does not fit refuses the call; the answer names the one that takes longest.
--   * Of a divisible rung, the largest n up to `most` that fits all claims; each claims amount +
--     unit * n. If `least` does not fit, the rung does not.
--   * Claims that are not enforced never block: such a balance is counted up to 2^53 - 1, such a
--     bucket or lease takes nothing where it would have refused, and reports itself above its limit.
--   * An account named twice in a rung (a limit and its shadow) is checked twice and written once.
-- Reply
--   id GRANTED at_ms rung repeated n, then per claim of the rung: used resets_at_ms|''
--   id DENIED at_ms rung claim used resets_at_ms|'' wait_ms|'' wanted  (rung, claim count from 0)
--   id ROLLBACK|TOMBSTONE|UNBUILT|STALE_VERSION|STALE_WINDOW at_ms about
--   id STOPPED at_ms scope stop (JSON)

local LEASE_WAIT_MS = 1000

local KINDS = { 'usd', 'requests', 'tokens', 'concurrency' }

-- The claim whose numbers begin at `at`, and where the next one's numbers and keys begin. All fields
-- that a claim will ever have are named when it is made: a table that grows is made anew each time.
local function read_claim(numbers, at, keys, key_at, number)
  local kind, enforced, amount, unit, ceiling, starts_ms, boundary_ms, ends_ms, keep_ms, earlier
  kind, enforced, amount, unit, ceiling, starts_ms, boundary_ms, ends_ms, keep_ms, earlier, at =
    struct.unpack('<dddddddddd', numbers, at)
  if kind ~= 1 then
    return {
      kind = KINDS[kind], enforced = enforced == 1, amount = amount, unit = unit, ceiling = ceiling,
      period_ms = kind ~= 4 and starts_ms or nil, key = keys[key_at], number = number,
      used = 0, room = 0, wait_ms = 0, backlog = 0,
    }, at, key_at + 1
  end
  return {
    kind = 'usd', enforced = enforced == 1, amount = amount, unit = unit,
    ceiling = enforced == 1 and ceiling or MAX_INTEGER, starts_ms = starts_ms,
    boundary_ms = boundary_ms, ends_ms = ends_ms, keep_ms = keep_ms, earlier = earlier,
    first_key = key_at, number = number, key = '', used = 0, room = 0, resets_at_ms = 0,
    is_new = false,
  }, at, key_at + earlier + 2
end

-- Fills in the state of a balance; false if neither of its windows holds now.
local function look_at_balance(claim, keys, now_ms)
  if now_ms < claim.starts_ms or now_ms >= claim.ends_ms then return false end
  local home = claim.first_key + claim.earlier
  claim.resets_at_ms = claim.boundary_ms
  if now_ms >= claim.boundary_ms then
    home, claim.resets_at_ms = home + 1, claim.ends_ms
  end
  claim.key, claim.used = keys[home], 0
  for at = home - claim.earlier, home do
    local stored = redis.call('HMGET', keys[at], 'posted', 'pending')
    claim.used = claim.used + tonumber(stored[1] or '0') + tonumber(stored[2] or '0')
    claim.is_new = not stored[1] and not stored[2]
  end
  claim.room = claim.ceiling - claim.used - claim.amount
  return true
end

local function look_at_bucket(claim, now_ms)
  claim.backlog = read_backlog(claim.key, claim.ceiling, now_ms)
  claim.used = divided_up(claim.backlog, claim.period_ms)
  local excess = claim.backlog + (claim.amount - claim.ceiling) * claim.period_ms
  claim.room = divided_down(0 - excess, claim.period_ms)
  claim.wait_ms = divided_up(math.max(0, excess), claim.ceiling)
end

local function look_at_leases(claim, now_ms)
  claim.used = redis.call('ZCOUNT', claim.key, now_ms + 1, '+inf')
  claim.room = claim.ceiling - claim.used - 1
  claim.wait_ms = LEASE_WAIT_MS
end

-- The claim that blocks this rung, if any, and whether the windows are stale.
local function weigh(claims, keys, now_ms)
  local balance, other
  for _, claim in ipairs(claims) do
    if claim.kind == 'usd' then
      if not look_at_balance(claim, keys, now_ms) then return nil, true end
      if claim.room < 0 and (not balance or claim.resets_at_ms > balance.resets_at_ms) then
        balance = claim
      end
    else
      local look_at = claim.kind == 'concurrency' and look_at_leases or look_at_bucket
      look_at(claim, now_ms)
      local blocks = claim.enforced and claim.room < 0
      if blocks and (not other or claim.wait_ms > other.wait_ms) then other = claim end
    end
  end
  return balance or other, false
end

-- Makes a divisible rung as large as it may be, given that its least fits; answers n.
local function grow(rung)
  local n = rung.most
  for _, claim in ipairs(rung.claims) do
    if claim.unit > 0 and (claim.enforced or claim.kind == 'usd') then
      n = math.min(n, rung.least + divided_down(claim.room, claim.unit))
    end
  end
  for _, claim in ipairs(rung.claims) do
    local more = claim.unit * (n - rung.least)
    claim.amount, claim.room = claim.amount + more, claim.room - more
  end
  return n
end

local function take_claim(claim, id, now_ms, deadline_ms)
  if claim.kind == 'usd' then
    redis.call('HINCRBY', claim.key, 'pending', claim.amount)
    if claim.is_new then
      redis.call('PEXPIRE', claim.key,
        claim.resets_at_ms - now_ms + claim.keep_ms + BALANCE_GRACE_MS)
    end
  elseif claim.kind == 'concurrency' then
    take_lease(claim.key, id, now_ms, deadline_ms)
  else
    local backlog = claim.backlog + claim.amount * claim.period_ms
    write_backlog(claim.key, backlog, claim.ceiling, now_ms)
  end
end

-- Writes all claims of a rung that fit; appends each one's state to the receipt.
local function take(claims, id, now_ms, deadline_ms, receipt)
  local flat, seen = {}, {}
  for _, claim in ipairs(claims) do
    if claim.room >= 0 and not seen[claim.key] then
      seen[claim.key] = true
      take_claim(claim, id, now_ms, deadline_ms)
      local at = #flat
      flat[at + 1], flat[at + 2], flat[at + 3] = claim.kind, claim.key, claim.amount
      flat[at + 4], flat[at + 5] = claim.period_ms and claim.ceiling or 0, claim.period_ms or 0
    end
    receipt[#receipt + 1] = claim.used + claim.amount
    receipt[#receipt + 1] = claim.resets_at_ms or ''
  end
  return flat
end

-- The rung whose numbers begin here, and where those of the next one do.
local function read_rung(numbers, at, keys, key_at)
  local count, least, most
  count, least, most, at = struct.unpack('<ddd', numbers, at)
  local rung = { claims = {}, least = least, most = most }
  for number = 1, count do
    local claim
    claim, at, key_at = read_claim(numbers, at, keys, key_at, number - 1)
    if rung.least > 0 then claim.amount = claim.amount + claim.unit * rung.least end
    rung.claims[number] = claim
  end
  return rung, at, key_at
end

local function repeated(id, state, rest, now_ms)
  if state ~= 'pending' then return { id, 'TOMBSTONE', now_ms, '' } end
  local receipt = cmsgpack.unpack(rest)[3]
  receipt[5] = 1
  return receipt
end

-- What stands in the way before any account is looked at, if anything; and where the rungs begin.
local function check_control(control_key, args, now_ms)
  local fields, at = { 'building', 'epoch' }, 10
  local stops = tonumber(args[9])
  for number = 1, stops do fields[number + 2] = args[at + number - 1] end
  at = at + stops
  local editions, first = tonumber(args[at]), #fields
  for number = 1, editions do fields[first + number] = args[at + 2 * number - 1] end
  local stored = redis.call('HMGET', control_key, unpack(fields))
  local rungs_at, newer = at + 1 + 2 * editions, {}
  if stored[1] or (args[6] ~= '' and stored[2] ~= args[6]) then
    return { args[1], 'UNBUILT', now_ms, '' }
  end
  for number = 3, first do
    if is_standing(stored[number], now_ms) then
      return { args[1], 'STOPPED', now_ms, string.sub(fields[number], #'stop:' + 1), stored[number] }
    end
  end
  for number = 1, editions do
    local known, seen = tonumber(stored[first + number] or '0'), tonumber(args[at + 2 * number])
    if known > seen then
      return { args[1], 'STALE_VERSION', now_ms, fields[first + number] }
    elseif seen > known and string.find(fields[first + number], 'key:', 1, true) ~= 1 then
      -- That a key has not ended is nothing to keep: every key in use would stand in the list.
      newer[#newer + 1], newer[#newer + 2] = fields[first + number], seen
    end
  end
  return nil, rungs_at, newer
end

redis.register_function(LIBRARY .. '_reserve', function(keys, args)
  local id, now_ms = args[1], instant_ms(args[2])
  if has_forgotten(keys[3], args[3], args[4], args[5]) then return { id, 'ROLLBACK', now_ms, '' } end
  local state, rest = read_hold(keys[1])
  if state then return repeated(id, state, rest, now_ms) end
  local obstacle, rungs_at, newer = check_control(keys[4], args, now_ms)
  if obstacle then return obstacle end

  local deadline_ms, key_at, denial = now_ms + tonumber(args[7]), 5, nil
  local numbers = args[rungs_at]
  local rungs, at = struct.unpack('<d', numbers)
  for number = 0, rungs - 1 do
    local rung
    rung, at, key_at = read_rung(numbers, at, keys, key_at)
    local blocking, is_stale = weigh(rung.claims, keys, now_ms)
    if is_stale then return { id, 'STALE_WINDOW', now_ms, '' } end
    if not blocking then
      local n = rung.most > 0 and grow(rung) or 0
      local receipt = { id, 'GRANTED', now_ms, number, 0, n }
      local flat = take(rung.claims, id, now_ms, deadline_ms, receipt)
      write_hold(keys[1], keys[2], id, deadline_ms, now_ms, flat, receipt, args[8])
      -- Who planned from a newer edition has proved that there is one (a failover may lose it).
      if #newer > 0 then redis.call('HSET', keys[4], unpack(newer)) end
      return receipt
    end
    denial = {
      id, 'DENIED', now_ms, number, blocking.number, blocking.used, blocking.resets_at_ms or '',
      blocking.wait_ms or '', blocking.amount,
    }
    if blocking.kind ~= 'usd' then return denial end
  end
  return denial
end)
