-- Another row each time.
require 'report'
local count = 0
request = function()
  count = count + 1
  return 'GET /product/' .. (count * 7919 % 10000 + 1) ..
    ' HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nUser-Agent: wrk\r\n\r\n'
end
