-- With a number N behind `--`: every call goes to the next of the operations with GET of N APIs (definition.yaml).
local kinds = {"items", "orders", "customers", "invoices", "shipments"}
local paths, at = {}, 0

function init(arguments)
    for api = 0, tonumber(arguments[1] or 0) - 1 do
        for _, kind in ipairs(kinds) do
            table.insert(paths, wrk.format("GET", "/api-" .. api .. "/1.0.0/" .. kind))
            table.insert(paths, wrk.format("GET", "/api-" .. api .. "/1.0.0/" .. kind .. "/42"))
        end
    end
    if #paths > 0 then
        request = function()
            -- A prime step: neighbours in time are none in the table.
            at = (at + 7919) % #paths
            return paths[at + 1]
        end
    end
end

-- One line of JSON at the end of a run, for a program to read. Times are in microseconds.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
