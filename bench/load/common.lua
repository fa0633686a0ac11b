-- What every load script of wrk shares. Each thread walks a range of its own, so that no two requests are for the same
-- shipment. At the end one line of JSON tells what wrk has counted.
local first, per_thread = tonumber(os.getenv("FIRST")), tonumber(os.getenv("PER_THREAD"))
local threads = 0

function setup(thread)
  thread:set("thread_index", threads)
  threads = threads + 1
end

function init(args)
  number = first + thread_index * per_thread - 1
  headers = { ["Content-Type"] = "application/json", ["Authorization"] = os.getenv("AUTHORIZATION") }
  if ready then ready() end
end

function next_number()
  number = number + 1
  return string.format("%d", number)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nmeasured {"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
