-- The same request each time; with an argument, a POST of that many bytes.
dofile("report.lua")

function init(args)
   local size = tonumber(args[1] or "0")
   if size > 0 then
      wrk.method = "POST"
      wrk.headers["Content-Type"] = "application/octet-stream"
      wrk.body = string.rep("x", size)
   end
end
