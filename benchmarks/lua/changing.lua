-- The twelve headers of a browser, all but Host and Connection with another value in each request,
-- and another query: what was read before does not help to read the next.
require 'report'

local count = 0

request = function()
  count = count + 1
  return table.concat({
    'GET /?' .. count .. ' HTTP/1.1',
    'Host: 127.0.0.1:8000',
    'Connection: keep-alive',
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/' .. count,
    'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8,x/' .. count,
    'Accept-Language: en-US,en;q=0.9,de;q=0.8,x-' .. count,
    'Accept-Encoding: gzip, deflate, br, zstd, x-' .. count,
    'Upgrade-Insecure-Requests: ' .. count,
    'Sec-Fetch-Mode: navigate-' .. count,
    'Referer: http://127.0.0.1:8000/items/' .. count,
    'Cookie: theme=dark; csrftoken=Zm9vYmFyYmF6; sessionid=' .. count * 7919,
    'If-None-Match: "' .. count * 104729 .. '"',
    'X-Request-Id: 4bf92f3577b34da6a3ce929d-' .. count,
  }, '\r\n') .. '\r\n\r\n'
end
