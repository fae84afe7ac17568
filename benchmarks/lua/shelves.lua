-- Another shelf, so another twenty rows, each time.
require 'report'
local count = 0
request = function()
  count = count + 1
  return 'GET /shelf/' .. (count * 7 % 500) ..
    ' HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\nUser-Agent: wrk\r\n\r\n'
end
