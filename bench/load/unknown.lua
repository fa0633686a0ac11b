-- Completions of shipments that do not exist: the cheapest answer that needs the database, 404.
dofile(os.getenv("COMMON"))

function request()
  return wrk.format("POST", nil, headers, '{"shipmentNumber": "unknown-' .. next_number() .. '"}')
end
