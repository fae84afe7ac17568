-- An order of five lines as JSON. The request never changes, so wrk prepares it once.
require 'report'
local lines = {}
for n = 1, 5 do lines[n] = '{"name": "Part ' .. n .. '", "amount": ' .. n .. ', "price": 2.5}' end
wrk.method = 'POST'
wrk.body = '{"customer": "Jane", "lines": [' .. table.concat(lines, ', ') .. ']}'
wrk.headers['Content-Type'] = 'application/json'
