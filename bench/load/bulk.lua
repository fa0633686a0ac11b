-- ROWS completions per request, one a line.
dofile(os.getenv("COMMON"))
local rows = tonumber(os.getenv("ROWS"))

function ready()
  headers["Content-Type"] = "application/x-ndjson"
end

function request()
  local lines = {}
  for row = 1, rows do
    lines[row] = '{"shipmentNumber": "' .. next_number() .. '-1", "carrierTrackingNumber": "1Z999AA10123456784"}'
  end
  return wrk.format("POST", nil, headers, table.concat(lines, "\n"))
end
