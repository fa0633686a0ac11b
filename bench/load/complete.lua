-- One completion per request.
dofile(os.getenv("COMMON"))

function request()
  return wrk.format("POST", nil, headers,
    '{"shipmentNumber": "' .. next_number() .. '-1", "carrierTrackingNumber": "1Z999AA10123456784"}')
end
