-- reserve: takes the first rung whose claims all fit, whole; or changes nothing.
--
-- KEYS  1 hold · 2 due · then, rung by rung and claim by claim: a balance's key in its current and
--       in its following window; a bucket's one key
-- ARGV  1 id · 2 now ('' in production) · 3 ttl_ms · 4 draft record · 5 number of rungs
--       then per rung: number of claims, and seven fields for each claim:
--         usd              · enforced 0|1 · amount · ceiling  · current start · boundary · following end
--         requests|tokens  · enforced 0|1 · amount · capacity · period_ms     · ''       · ''
-- Example (one rung with one budget of 1 USD and a hold of 0.01 USD)
--   FCALL <library>_reserve 4 {s0}:hold:7 {s0}:due {s0}:usd:…:2026-05 {s0}:usd:…:2026-06
--         7 '' 60000 '{}' 1 1 usd 1 10000000 1000000000 1777593600000 1780272000000 1782864000000
-- Rules
--   * A hold that stands answers with the receipt it was given: same id, same receipt.
--   * A balance fits if posted + pending + amount <= ceiling, in the window that holds the server's
--     now. One that does not fit sends the call to the next rung.
--   * A bucket fits if backlog + amount <= capacity. One that does not fit refuses the call; the
--     answer names the one that takes longest.
--   * Claims that are not enforced never block: such a balance is counted up to 2^53 - 1, such a
--     bucket takes nothing where it would have refused, and reports itself above capacity.
--   * An account named twice in a rung (a limit and its shadow) is checked twice and written once.
-- Reply (strings)
--   id GRANTED at_ms rung repeated, then per claim of the rung: used resets_at_ms|''
--   id DENIED at_ms rung claim used resets_at_ms|'' wait_ms|''      (rung and claim count from 0)
--   id STALE_WINDOW at_ms   ·   id TOMBSTONE at_ms

local function read_claim(kind, keys, args, key_at, arg_at)
  local claim = {
    kind = kind,
    key = keys[key_at],
    enforced = args[arg_at + 1] == '1',
    amount_text = args[arg_at + 2],
    amount = tonumber(args[arg_at + 2]),
    ceiling = tonumber(args[arg_at + 3]),
  }
  if kind == 'usd' then
    claim.following_key = keys[key_at + 1]
    claim.starts_ms = tonumber(args[arg_at + 4])
    claim.boundary_ms, claim.boundary_text = tonumber(args[arg_at + 5]), args[arg_at + 5]
    claim.ends_ms, claim.ends_text = tonumber(args[arg_at + 6]), args[arg_at + 6]
  else
    claim.capacity_text = args[arg_at + 3]
    claim.period_ms, claim.period_text = tonumber(args[arg_at + 4]), args[arg_at + 4]
  end
  return claim
end

-- Fills in the state of a balance; false if neither of its windows holds now.
local function look_at_balance(claim, now_ms)
  if now_ms < claim.starts_ms or now_ms >= claim.ends_ms then return false end
  claim.resets_at_ms, claim.resets_at_text = claim.boundary_ms, claim.boundary_text
  if now_ms >= claim.boundary_ms then
    claim.key = claim.following_key
    claim.resets_at_ms, claim.resets_at_text = claim.ends_ms, claim.ends_text
  end
  local stored = redis.call('HMGET', claim.key, 'posted', 'pending')
  claim.is_new = not stored[1] and not stored[2]
  claim.used = tonumber(stored[1] or '0') + tonumber(stored[2] or '0')
  claim.fits = claim.used + claim.amount <= (claim.enforced and claim.ceiling or MAX_INTEGER)
  return true
end

local function look_at_bucket(claim, now_ms)
  claim.backlog = read_backlog(claim.key, claim.ceiling, now_ms)
  claim.used = math.ceil(claim.backlog / claim.period_ms)
  local excess = claim.backlog + (claim.amount - claim.ceiling) * claim.period_ms
  claim.fits = excess <= 0
  claim.wait_ms = math.ceil(math.max(0, excess) / claim.ceiling)
end

-- The claim that blocks this rung, if any, and whether the windows are stale.
local function weigh(claims, now_ms)
  local balance, bucket
  for _, claim in ipairs(claims) do
    if claim.kind == 'usd' then
      if not look_at_balance(claim, now_ms) then return nil, true end
      if not claim.fits and (not balance or claim.resets_at_ms > balance.resets_at_ms) then
        balance = claim
      end
    else
      look_at_bucket(claim, now_ms)
      local blocks = claim.enforced and not claim.fits
      if blocks and (not bucket or claim.wait_ms > bucket.wait_ms) then bucket = claim end
    end
  end
  return balance or bucket, false
end

local function take_balance(claim, now_ms)
  redis.call('HINCRBY', claim.key, 'pending', claim.amount_text)
  if claim.is_new then
    redis.call('PEXPIRE', claim.key, text(claim.resets_at_ms - now_ms + BALANCE_GRACE_MS))
  end
  return { kind = 'usd', key = claim.key, amount_text = claim.amount_text,
    capacity_text = '', period_text = '' }
end

local function take_bucket(claim, now_ms)
  local units = claim.amount * claim.period_ms
  write_backlog(claim.key, claim.backlog + units, claim.ceiling, now_ms)
  return { kind = claim.kind, key = claim.key, amount_text = text(units),
    capacity_text = claim.capacity_text, period_text = claim.period_text }
end

-- Writes all claims of a rung that fits; appends each one's state to the receipt.
local function take(claims, now_ms, receipt)
  local taken, seen = {}, {}
  for _, claim in ipairs(claims) do
    if claim.fits and not seen[claim.key] then
      seen[claim.key] = true
      local write = claim.kind == 'usd' and take_balance or take_bucket
      taken[#taken + 1] = write(claim, now_ms)
    end
    receipt[#receipt + 1] = text(claim.used + claim.amount)
    receipt[#receipt + 1] = claim.resets_at_text or ''
  end
  return taken
end

local function read_rung(keys, args, key_at, arg_at)
  local claims = {}
  for number = 1, tonumber(args[arg_at]) do
    local first = arg_at + 1 + (number - 1) * 7
    local kind = args[first]
    local claim = read_claim(kind, keys, args, key_at, first)
    claim.number = number - 1
    claims[number] = claim
    key_at = key_at + (kind == 'usd' and 2 or 1)
  end
  return claims, key_at, arg_at + 1 + #claims * 7
end

local function repeated(id, hold, now_ms)
  if hold[1] ~= 'pending' then return { id, 'TOMBSTONE', text(now_ms) } end
  local receipt = cmsgpack.unpack(hold[2])
  receipt[5] = '1'
  return receipt
end

redis.register_function(LIBRARY .. '_reserve', function(keys, args)
  local id, now_ms, ttl_ms, draft = args[1], instant_ms(args[2]), tonumber(args[3]), args[4]
  local hold = redis.call('HMGET', keys[1], 'state', 'receipt')
  if hold[1] then return repeated(id, hold, now_ms) end

  local key_at, arg_at, denial = 3, 6, nil
  for rung = 0, tonumber(args[5]) - 1 do
    local claims
    claims, key_at, arg_at = read_rung(keys, args, key_at, arg_at)
    local blocking, is_stale = weigh(claims, now_ms)
    if is_stale then return { id, 'STALE_WINDOW', text(now_ms) } end
    if not blocking then
      local receipt = { id, 'GRANTED', text(now_ms), text(rung), '0' }
      local taken = take(claims, now_ms, receipt)
      local deadline = text(now_ms + ttl_ms)
      redis.call('HSET', keys[1], 'state', 'pending', 'claims', pack_claims(taken),
        'draft', draft, 'receipt', cmsgpack.pack(receipt), 'deadline', deadline)
      redis.call('ZADD', keys[2], deadline, id)
      return receipt
    end
    denial = {
      id, 'DENIED', text(now_ms), text(rung), text(blocking.number), text(blocking.used),
      blocking.resets_at_text or '',
      blocking.wait_ms and text(blocking.wait_ms) or '',
    }
    if blocking.kind ~= 'usd' then return denial end
  end
  return denial
end)
