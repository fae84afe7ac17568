-- The twelve headers of a browser; four of them differ in each request, as a browser's do. So no
-- cache of whole heads can answer for a parser; in changing.lua none of values can.
require 'report'

local head = table.concat({
  'GET / HTTP/1.1',
  'Host: 127.0.0.1:8000',
  'Connection: keep-alive',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Accept-Language: en-US,en;q=0.9,de;q=0.8',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Upgrade-Insecure-Requests: 1',
  'Sec-Fetch-Mode: navigate',
  'Referer: http://127.0.0.1:8000/items/',
}, '\r\n')
local count = 0

request = function()
  count = count + 1
  return head .. count ..
    '\r\nCookie: theme=dark; csrftoken=Zm9vYmFyYmF6; sessionid=' .. count * 7919 ..
    '\r\nIf-None-Match: "' .. count * 104729 ..
    '"\r\nX-Request-Id: 4bf92f3577b34da6a3ce929d-' .. count .. '\r\n\r\n'
end
