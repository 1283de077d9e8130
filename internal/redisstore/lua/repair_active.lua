-- Makes the active set agree with the stored webhooks for some ids (D3). What is stored decides, in the sense that
-- JavaScript gives its "active"; an entry that cannot be read decides nothing.
-- KEYS  1 registry  2 active
-- ARGV  ids
-- returns how many were wrong

local fixed = 0
for _, id in ipairs(ARGV) do
  local json = redis.call('HGET', KEYS[1], id)
  if not json then
    fixed = fixed + redis.call('SREM', KEYS[2], id)
  else
    local ok, webhook = pcall(cjson.decode, json)
    if ok and type(webhook) == 'table' then
      local active = webhook.active
      if active == nil or active == cjson.null or active == false or active == '' or active == 0 then
        fixed = fixed + redis.call('SREM', KEYS[2], id)
      else
        fixed = fixed + redis.call('SADD', KEYS[2], id)
      end
    end
  end
end
return fixed
