-- prelude.lua: what the functions of the ledger share. No function of its own is registered here.
--
-- The loader (functions.py) puts the shebang and `local LIBRARY = '<name>'` in front of these files
-- and joins them in one fixed order, so that every `local` below is visible to all that follow.
--
-- Data (all keys of one shard share a hash tag, so they live in one slot)
--   balance  hash    posted, pending, overrun, as_of     nano-USD; dies 48 h after its window
--   bucket   string  backlog at                          unit-milliseconds, ms; dies when drained
--   leases   zset    request id -> deadline (ms)         one member for each call that has a place
--   hold     string  pending <packed>                    lives until it is ended
--                    posted|unheld charge rank entry     the tombstone, with a TTL
--                    unheld: not counted yet             see unheld.lua
--                    expired charge rank entry <packed>  can still be corrected
--                    voided
--   due      zset    request id -> deadline (ms)         pending holds only: the deadline is here
--   usage    stream  record; an expiry also has accounts, charge and at, its release `voided` too,
--                    a charge without a hold `unheld`, one that its worker let pass by itself and
--                    that has a hold all the same accounts and at; trimmed by the journal
--   control  hash    epoch, building, mark, stop:<scope>, policy:<name>, level:<scope>, key:<id>
--   worker   hash    last, beyond, rollback, healing, healed          see operations.lua
--   leader   string  who acts in a role on this shard, with a TTL
--
-- Rules of this code
--   * Money is an integer below 2^53, so a Lua number holds it exactly; redis.call, a reply and
--     cmsgpack pass it on as an integer. It becomes text by text() only: `..`, tostring,
--     table.concat and cjson keep 14 digits.
--   * Check everything first, write afterwards: a function that answers no has written nothing
--     (but to its worker's operation counter).
--   * The clock is TIME. The `now` argument is empty in production; tests move it by hand.
--   * TTLs are relative: an absolute one would be wrong under a clock that a test moves.

local MAX_INTEGER = 9007199254740991  -- 2^53 - 1

local HOUR_MS = 3600 * 1000
local BALANCE_GRACE_MS = 48 * HOUR_MS
-- A bucket's key outlives its drain by this much, so that the server's clock and a test's may part.
local BUCKET_GRACE_MS = 60 * 1000
-- Longer than any lease may be extended without the key being written again.
local LEASES_TTL_MS = 24 * HOUR_MS
-- Longer than any resend (under a second) and any settlement retry of a living gateway (minutes).
-- A later repeat answers UNKNOWN_HOLD, which changes no balance, and the journal keeps one record.
local TOMBSTONE_MS = 15 * 60 * 1000
-- An expired call may still be running; its measurement corrects the charge as long as the
-- balances it was charged to are there.
local EXPIRED_TOMBSTONE_MS = BALANCE_GRACE_MS
-- A charge without a hold counts once its record comes to the books, which may be away for as long
-- as an account lives; once it counts, whoever had it counted may try that again for a while.
local UNHELD_TOMBSTONE_MS = 32 * 24 * HOUR_MS
local COUNTED_TOMBSTONE_MS = BALANCE_GRACE_MS

-- `%d` is three times as fast as `%.0f`, where the server's C has integers wide enough for it. Found
-- out at the first use: while a library is loaded there is no `string`.
local digits, two_numbers

local function find_format()
  digits = string.format('%d', MAX_INTEGER) == '9007199254740991' and '%d' or '%.0f'
  two_numbers = table.concat({ digits, digits }, ' ')
end

-- The integer as decimal digits. `-0` is no integer to anybody, hence the first line.
local function text(number)
  if number == 0 then return '0' end
  if not digits then find_format() end
  return string.format(digits, number)
end

-- The instant in whole milliseconds.
local function instant_ms(argument)
  if argument ~= '' then return tonumber(argument) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- When a stop that is noted ends; nil: by command only. A quote inside a string is escaped there, so
-- that no reason can pass for an end.
local function end_of_stop(stored)
  local digits = string.match(stored, '"until_ms":(%d+)')
  return digits and tonumber(digits)
end

-- Whether a stop is noted and in force. What cannot be read stands: stopping is the safe side.
-- One that was taken back stays so, also if the clock goes back behind that instant.
local RESTORED = '{"restored"'
local function is_standing(stored, now_ms)
  if not stored or string.sub(stored, 1, #RESTORED) == RESTORED then return false end
  local until_ms = end_of_stop(stored)
  return not until_ms or until_ms > now_ms
end

-- Exact for all integers below 2^53, where a rounded quotient would not be.
local function divided_down(number, by)
  local rest = math.fmod(number, by)
  if rest < 0 then rest = rest + by end
  return (number - rest) / by
end

local function divided_up(number, by)
  local rest = math.fmod(number, by)
  return (number - rest) / by + (rest > 0 and 1 or 0)
end

-- What is left of a bucket's backlog after it drained `capacity` unit-ms each millisecond.
-- A clock that went back drains nothing, and locks nobody out: `at` becomes the new now.
local function read_backlog(key, capacity, now_ms)
  local stored = redis.call('GET', key)
  if not stored then return 0 end
  local backlog, at_ms = string.match(stored, '^(%d+) (%d+)$')
  local elapsed_ms = math.max(0, now_ms - tonumber(at_ms))
  return math.max(0, tonumber(backlog) - elapsed_ms * capacity)
end

-- Never less than empty of backlog; a debt ends at the ledger's range.
local function write_backlog(key, backlog, capacity, now_ms)
  backlog = math.min(math.max(0, backlog), MAX_INTEGER)
  if not digits then find_format() end
  redis.call('SET', key, string.format(two_numbers, backlog, now_ms),
    'PX', math.ceil(backlog / capacity) + BUCKET_GRACE_MS)
end

-- Sets what a token bucket counts for this call to `tokens`, in place of what was claimed.
-- May leave debt (backlog above capacity); never leaves more than a full bucket (backlog below 0).
local function correct_bucket(claim, tokens, now_ms)
  local backlog = read_backlog(claim.key, claim.capacity, now_ms)
  local difference = (tokens - claim.amount) * claim.period_ms
  write_backlog(claim.key, backlog + difference, claim.capacity, now_ms)
end

local function take_lease(key, id, now_ms, deadline_ms)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now_ms)
  redis.call('ZADD', key, deadline_ms, id)
  redis.call('PEXPIRE', key, LEASES_TTL_MS)
end

-- Claims lie in a hold as a flat list: kind, key, amount, capacity, period (0 where there is none).
local CLAIM_WIDTH = 5

local function claims_of(flat)
  local claims = {}
  for i = 1, #flat, CLAIM_WIDTH do
    claims[#claims + 1] = {
      kind = flat[i], key = flat[i + 1], amount = flat[i + 2],
      capacity = flat[i + 3], period_ms = flat[i + 4],
    }
  end
  return claims
end

-- The accounts as the books name them: without the shard's prefix, parted by blanks.
local function names_of(claims, prefix_length)
  local names = {}
  for number, claim in ipairs(claims) do names[number] = string.sub(claim.key, prefix_length + 1) end
  return table.concat(names, ' ')
end

-- A pending hold: when it was admitted, its claims, the receipt as it was sent, the draft record.
local function write_hold(hold_key, due_key, id, deadline_ms, at_ms, flat, receipt, draft)
  redis.call('SET', hold_key, table.concat({
    'pending ', cmsgpack.pack({ at_ms, flat, receipt, draft }),
  }))
  redis.call('ZADD', due_key, deadline_ms, id)
end

-- The state of a hold (nil: there is none), and what is written behind it.
local function read_hold(hold_key)
  local stored = redis.call('GET', hold_key)
  if not stored then return nil, '' end
  local space = string.find(stored, ' ', 1, true)
  if not space then return stored, '' end
  return string.sub(stored, 1, space - 1), string.sub(stored, space + 1)
end

-- Ends a hold: what stays is a tombstone that answers repeats and kills a late reserve.
local function bury(hold_key, due_key, id, ttl_ms, words)
  redis.call('SET', hold_key, words, 'PX', ttl_ms)
  redis.call('ZREM', due_key, id)
end

-- Moves a hold's money from pending to posted. A balance that is gone (its window ended more than
-- 48 h ago) is not made anew: the record in the journal is what is left to say.
local function charge_balance(claim, charge)
  if claim.amount == 0 and redis.call('EXISTS', claim.key) == 0 then return end
  local pending = redis.call('HINCRBY', claim.key, 'pending', 0 - claim.amount)
  if pending < 0 and redis.call('HLEN', claim.key) == 1 then
    redis.call('DEL', claim.key)
    return
  end
  redis.call('HINCRBY', claim.key, 'posted', charge)
  if charge > claim.amount then
    redis.call('HINCRBY', claim.key, 'overrun', charge - claim.amount)
  end
end

-- Positions in a stream are two integers; as text `9-…` would come after `10-…`.
local function parse_position(position)
  local ms, sequence = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local function is_before(one, other)
  local one_ms, one_sequence = parse_position(one)
  local other_ms, other_sequence = parse_position(other)
  return one_ms < other_ms or (one_ms == other_ms and one_sequence < other_sequence)
end
