-- prelude.lua: what the functions of the ledger share. No function of its own is registered here.
--
-- The loader (functions.py) puts the shebang and `local LIBRARY = '<name>'` in front of these files
-- and joins them in one fixed order, so that every `local` below is visible to all that follow.
--
-- Data (all keys of one shard share a hash tag, so they live in one slot)
--   balance  hash    posted, pending, overrun            nano-USD; dies 48 h after its window
--   bucket   hash    backlog, at                         unit-milliseconds, ms; dies when drained
--   hold     hash    state=pending, claims, draft, receipt, deadline    lives until it is ended
--                    state=posted|voided|expired, charge, rank, entry   the tombstone, with a TTL
--   due      zset    request id -> deadline (ms)         pending holds only
--   usage    stream  one field `record`                  trimmed by the journal, never by length
--
-- Rules of this code
--   * Money is an integer below 2^53, so a Lua number holds it exactly. It becomes text by text()
--     only: `..`, tostring and cjson keep 14 digits.
--   * Check everything first, write afterwards: a function that answers no has written nothing.
--   * The clock is TIME. The `now` argument is empty in production; tests move it by hand.
--   * TTLs are relative: an absolute one would be wrong under a clock that a test moves.

local MAX_INTEGER = 9007199254740991  -- 2^53 - 1

local HOUR_MS = 3600 * 1000
local BALANCE_GRACE_MS = 48 * HOUR_MS
-- A bucket's key outlives its drain by this much, so that the server's clock and a test's may part.
local BUCKET_GRACE_MS = 60 * 1000
-- Longer than any resend (under a second) and any settlement retry of a living gateway (minutes).
-- A later repeat answers UNKNOWN_HOLD, which changes no balance, and the journal keeps one record.
local TOMBSTONE_MS = 15 * 60 * 1000
-- An expired call may still be running; its measurement corrects the charge as long as the
-- balances it was charged to are there.
local EXPIRED_TOMBSTONE_MS = BALANCE_GRACE_MS

-- The integer as decimal digits. `-0` is no integer to HINCRBY, hence the first line.
local function text(number)
  if number == 0 then return '0' end
  return string.format('%.0f', number)
end

-- The instant in whole milliseconds.
local function instant_ms(argument)
  if argument ~= '' then return tonumber(argument) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- What is left of a bucket's backlog after it drained `capacity` unit-ms each millisecond.
-- A clock that went back drains nothing, and locks nobody out: `at` becomes the new now.
local function drained(backlog, at_ms, capacity, now_ms)
  local elapsed_ms = math.max(0, now_ms - at_ms)
  return math.max(0, backlog - elapsed_ms * capacity)
end

local function read_backlog(key, capacity, now_ms)
  local stored = redis.call('HMGET', key, 'backlog', 'at')
  if not stored[1] then return 0 end
  return drained(tonumber(stored[1]), tonumber(stored[2]), capacity, now_ms)
end

local function write_backlog(key, backlog, capacity, now_ms)
  backlog = math.min(backlog, MAX_INTEGER)
  redis.call('HSET', key, 'backlog', text(backlog), 'at', text(now_ms))
  redis.call('PEXPIRE', key, text(math.ceil(backlog / capacity) + BUCKET_GRACE_MS))
end

-- Sets what a token bucket counts for this call to `tokens`, in place of what was claimed.
-- May leave debt (backlog above capacity); never leaves more than a full bucket (backlog below 0).
local function correct_bucket(claim, tokens, now_ms)
  local backlog = read_backlog(claim.key, claim.capacity, now_ms)
  local difference = tokens * claim.period_ms - claim.amount
  write_backlog(claim.key, math.max(0, backlog + difference), claim.capacity, now_ms)
end

-- Claims lie in a hold as a packed flat list of strings (never numbers: see the rules), the amounts
-- as they were sent: each number that is made into text costs more than reading a key does.
local CLAIM_WIDTH = 5
local function pack_claims(taken)
  local flat = {}
  for _, claim in ipairs(taken) do
    local at = #flat
    flat[at + 1], flat[at + 2], flat[at + 3] = claim.kind, claim.key, claim.amount_text
    flat[at + 4], flat[at + 5] = claim.capacity_text, claim.period_text
  end
  return cmsgpack.pack(flat)
end

local function unpack_claims(packed)
  local flat, claims = cmsgpack.unpack(packed), {}
  for i = 1, #flat, CLAIM_WIDTH do
    claims[#claims + 1] = {
      kind = flat[i], key = flat[i + 1], amount = tonumber(flat[i + 2]),
      capacity = tonumber(flat[i + 3]), period_ms = tonumber(flat[i + 4]),
    }
  end
  return claims
end

-- Moves a hold's money from pending to posted. A balance that is gone (its window ended more than
-- 48 h ago) is not made anew: the record in the journal is what is left to say.
local function charge_balance(claim, charge)
  if redis.call('EXISTS', claim.key) == 0 then return end
  redis.call('HINCRBY', claim.key, 'pending', text(-claim.amount))
  redis.call('HINCRBY', claim.key, 'posted', text(charge))
  if charge > claim.amount then
    redis.call('HINCRBY', claim.key, 'overrun', text(charge - claim.amount))
  end
end

-- Ends a hold: what stays is a tombstone that answers repeats and kills a late reserve.
local function bury(hold_key, due_key, id, ttl_ms, fields)
  redis.call('DEL', hold_key)
  redis.call('HSET', hold_key, unpack(fields))
  redis.call('PEXPIRE', hold_key, text(ttl_ms))
  redis.call('ZREM', due_key, id)
end
