-- post: turns a hold into a charge and appends its record, exactly once per id.
--
-- KEYS  1 hold · 2 due · 3 worker · 4 usage stream. The accounts are those the hold names: same
--       shard, same hash tag, hence the same slot.
-- ARGV  1 id · 2 now ('' in production) · 3 op · 4 acked · 5 skipped · 6 charge · 7 tokens · 8 rank
--       9 record
-- Example
--   FCALL <library>_post 4 {s0}:hold:7 {s0}:due {s0}:worker: {s0}:usage
--         7 '' '' '' '' 9500000 1500 2 '{"request_id":"7",…}'
-- Rules
--   * pending: pending -= hold, posted += charge, overrun += what the charge has above the hold;
--     token buckets now count `tokens` instead of the claim (debt allowed, never above capacity);
--     leases end.
--   * expired: the conservative charge gives way, by the difference, to one of a higher rank, or to
--     a larger one of the same: a charge is never below the bill.
--   * posted, or not better: nothing.
--   * no hold: balances stay, but the record is appended, marked as unheld, and a tombstone left.
--     Whoever brings the record to the books sees whether they had it, and has it counted if not
--     (count); a worker that knows the hold may reassert it before. After a void likewise, but an
--     estimate changes nothing there: that the call was not billed is known for certain.
--   * A call that its worker let pass by itself may have a hold all the same, of a reserve that came
--     late, hence perhaps in another window than its record says: beside such a record stand the
--     accounts that were charged, and the instant of admission, as with an expiry.
--   * Runs when memory is full: money that is spent must be settled.
-- Reply  id ROLLBACK|POSTED|CORRECTED|ALREADY_POSTED|UNKNOWN_HOLD entry ('' if none was appended)

local function settle(claims, id, charge, tokens, now_ms)
  for _, claim in ipairs(claims) do
    if claim.kind == 'usd' then
      charge_balance(claim, charge)
    elseif claim.kind == 'tokens' then
      correct_bucket(claim, tokens, now_ms)
    elseif claim.kind == 'concurrency' then
      redis.call('ZREM', claim.key, id)
    end
  end
end

-- Puts a charge in the place of the one that an expiry made.
local function correct_settlement(claims, charge, expired_charge, tokens, now_ms)
  for _, claim in ipairs(claims) do
    if claim.kind == 'usd' and redis.call('EXISTS', claim.key) == 1 then
      local overrun = math.max(0, charge - claim.amount)
      local expired_overrun = math.max(0, expired_charge - claim.amount)
      redis.call('HINCRBY', claim.key, 'posted', charge - expired_charge)
      local now = redis.call('HINCRBY', claim.key, 'overrun', overrun - expired_overrun)
      -- Books that the account was set from meanwhile know less of it than the expiry did.
      if now < 0 then redis.call('HSET', claim.key, 'overrun', '0') end
    elseif claim.kind == 'tokens' then
      correct_bucket(claim, tokens, now_ms)
    end
  end
end

-- The charge and rank of a hold that expired; and its claims, draft, accounts, instant of admission.
local function read_expired(rest)
  local charge, rank, packed = string.match(rest, '^(%d+) (%d+) %S+ (.*)$')
  return tonumber(charge), tonumber(rank), cmsgpack.unpack(packed)
end

local LET_PASS = '"decision":"admit_locally"'

-- What only the ledger knows of a call that was let pass without it: nothing, if it knows no hold.
local function fields_beside(record, hold_key, id, flat, at_ms)
  if not flat or not string.find(record, LET_PASS, 1, true) then return {} end
  local named = names_of(claims_of(flat), #hold_key - #'hold:' - #id)
  return { 'accounts', named, 'at', text(at_ms) }
end

local function is_better(rank, charge, expired_rank, expired_charge)
  return rank > expired_rank or (rank == expired_rank and charge > expired_charge)
end

-- ending: charge, tokens, rank (numbers), record
local function post(keys, usage_key, id, now_ms, ending)
  local state, rest = read_hold(keys[1])
  local verdict, buried_as, keep_ms = 'UNKNOWN_HOLD', 'posted', TOMBSTONE_MS
  local flat, at_ms
  if state == 'pending' then
    local hold = cmsgpack.unpack(rest)
    verdict, flat, at_ms = 'POSTED', hold[2], hold[1]
    settle(claims_of(flat), id, ending.charge, ending.tokens, now_ms)
  elseif state == 'expired' then
    local charge, rank, hold = read_expired(rest)
    if not is_better(ending.rank, ending.charge, rank, charge) then
      return { id, 'ALREADY_POSTED', '' }
    end
    verdict, flat, at_ms = 'CORRECTED', hold[1], hold[4]
    correct_settlement(claims_of(flat), ending.charge, charge, ending.tokens, now_ms)
  elseif not state or (state == 'voided' and ending.rank > 1) then
    buried_as, keep_ms = 'unheld', UNHELD_TOMBSTONE_MS
  else
    return { id, 'ALREADY_POSTED', '' }
  end
  local fields = buried_as == 'unheld' and { 'unheld', '1' }
    or fields_beside(ending.record, keys[1], id, flat, at_ms)
  local entry = redis.call('XADD', usage_key, '*', 'record', ending.record, unpack(fields))
  local words = { buried_as, text(ending.charge), text(ending.rank), entry }
  bury(keys[1], keys[2], id, keep_ms, table.concat(words, ' '))
  return { id, verdict, entry }
end

redis.register_function {
  function_name = LIBRARY .. '_post',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local id, now_ms = args[1], instant_ms(args[2])
    if has_forgotten(keys[3], args[3], args[4], args[5]) then return { id, 'ROLLBACK', '' } end
    return post(keys, keys[4], id, now_ms, {
      charge = tonumber(args[6]), tokens = tonumber(args[7]), rank = tonumber(args[8]),
      record = args[9],
    })
  end,
}
