-- The static request of the benchmark in wrk; built once.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"id":"' .. string.rep("0", 36) .. '","text":"' .. string.rep("x", 380) .. '"}'
