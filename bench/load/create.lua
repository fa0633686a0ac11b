-- One shipment created per request, of everything that its order holds; CAPTURE is true or false.
dofile(os.getenv("COMMON"))
local capture = os.getenv("CAPTURE")

function request()
  return wrk.format("POST", nil, headers,
    '{"order": ' .. next_number() .. ', "products": {"1": 1, "2": 2}, "capture": ' .. capture .. '}')
end
