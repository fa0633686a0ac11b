-- Completions at PER_SECOND in all, over THREADS threads, whether or not earlier ones are answered, and a line for each
-- answer in the file ANSWERS<thread>: when it came, in seconds since 1970, and for which shipment.
dofile(os.getenv("COMMON"))
local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *now);
]])
local REALTIME = 0
local read = ffi.new("moment")

local function now()
  ffi.C.clock_gettime(REALTIME, read)
  return tonumber(read.seconds) + tonumber(read.nanoseconds) / 1e9
end

function ready()
  answers = io.open(os.getenv("ANSWERS") .. thread_index, "w")
  answers:setvbuf("line")
  interval = tonumber(os.getenv("THREADS")) / tonumber(os.getenv("PER_SECOND"))
  due = now() + thread_index * interval / tonumber(os.getenv("THREADS"))
end

function delay()
  due = due + interval
  return math.max(0, math.floor((due - now()) * 1000))
end

function request()
  return wrk.format("POST", nil, headers,
    '{"shipmentNumber": "' .. next_number() .. '-1", "carrierTrackingNumber": "1Z999AA10123456784"}')
end

function response(status, _, body)
  if status == 200 then
    answers:write(string.format("%.6f %s\n", now(), body:match('"shipmentNumber":"([^"]+)"')))
  end
end
