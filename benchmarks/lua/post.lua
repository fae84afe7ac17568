-- A 10 KB body to be echoed. The request never changes, so wrk prepares it once.
require 'report'
wrk.method = 'POST'
wrk.body = string.rep('0123456789', 1024)
wrk.headers['Content-Type'] = 'text/plain'
