-- The documents whose links stand in the file LINKS, one a line, over and over.
dofile(os.getenv("COMMON"))

function ready()
  links, position = {}, 0
  for link in io.lines(os.getenv("LINKS")) do
    links[#links + 1] = wrk.format("GET", link)
  end
end

function request()
  position = position % #links + 1
  return links[position]
end
