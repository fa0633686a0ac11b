-- One completion per request; each thread walks its own range of shipments.
local first, per_thread, authorization = tonumber(os.getenv("FIRST")), tonumber(os.getenv("PER_THREAD")), os.getenv("AUTHORIZATION")
local threads = 0

function setup(thread)
  thread:set("start", first + threads * per_thread)
  threads = threads + 1
end

function init()
  n, refused = start, 0
  headers = { ["Content-Type"] = "application/json", ["Authorization"] = authorization }
end

function request()
  n = n + 1
  return wrk.format("POST", nil, headers, '{"shipmentNumber": "' .. n .. '-1", "carrierTrackingNumber": "1Z"}')
end
