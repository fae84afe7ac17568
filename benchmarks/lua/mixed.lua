-- One request in ten goes to the application that sleeps 10 ms.
require 'report'
local quick = 'GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n'
local slow = 'GET /sleep HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n'
local count = 0

request = function()
  count = count + 1
  if count % 10 == 0 then return slow end
  return quick
end
