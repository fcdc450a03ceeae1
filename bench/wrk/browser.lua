-- A browser's request: 16 header fields, about 1.1 KB. The query and three of the fields (Referer,
-- Cookie, X-Request-Id) vary from request to request.
dofile("report.lua")

local VARIANTS = 256
local made = {}
local turn = 0

local function make(path, number)
   local id = string.format("%08x-4b1d-4f6e-9c3a-%012x", number * 2654435761 % 4294967296, number * 7919)
   return wrk.format("GET", path .. "?page=" .. number .. "&session=" .. id .. "&sort=newest", {
      ["Host"] = "www.example.com",
      ["Connection"] = "keep-alive",
      ["sec-ch-ua"] = '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
      ["sec-ch-ua-mobile"] = "?0",
      ["sec-ch-ua-platform"] = '"Linux"',
      ["Upgrade-Insecure-Requests"] = "1",
      ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
         .. "Chrome/140.0.0.0 Safari/537.36",
      ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
         .. "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
      ["Sec-Fetch-Site"] = "same-origin",
      ["Sec-Fetch-Mode"] = "navigate",
      ["Sec-Fetch-Dest"] = "document",
      ["Referer"] = "https://www.example.com/articles/archive?page=" .. (number - 1) .. "&sort=newest",
      ["Accept-Encoding"] = "gzip, deflate, br, zstd",
      ["Accept-Language"] = "en-GB,en;q=0.9,de;q=0.8,fr;q=0.7",
      ["Cookie"] = "sessionid=" .. id .. "; csrftoken=kq3Jt0Xb7rWm5Zp1Ys9Vd2Ng8Hf4Lc6A; theme=dark; "
         .. "_ga=GA1.2." .. (1000000000 + number * 104729) .. ".1700000000; consent=analytics%3Dno%26ads%3Dno",
      ["X-Request-Id"] = id,
   })
end

function init(args)
   for number = 1, VARIANTS do
      made[number] = make(wrk.path, number)
   end
end

function request()
   turn = turn % VARIANTS + 1
   return made[turn]
end
