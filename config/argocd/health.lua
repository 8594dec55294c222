-- Health of a ModelDeployment for Argo CD, from the conditions that kstatus reads.
-- `cargo xtask codegen` copies it into argocd-cm.yaml; `cargo xtask charts` runs it over
-- sim/recorded/.

local function find(conditions, kind)
  for _, condition in ipairs(conditions or {}) do
    if condition.type == kind then
      return condition
    end
  end
  return nil
end

local function told(condition)
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.reason .. ": " .. condition.message
end

local function health(status, message)
  return { status = status, message = message }
end

local status = obj.status or {}
local ready = find(status.conditions, "Ready")
local reconciling = find(status.conditions, "Reconciling")
local stalled = find(status.conditions, "Stalled")

if ready == nil then
  return health("Progressing", "the operator has not told a status yet")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not seen this generation yet")
end
if stalled ~= nil and stalled.status == "True" then
  return health("Degraded", told(stalled))
end
if obj.spec.paused == true then
  return health("Suspended", told(ready))
end
if ready.status ~= "True" and ready.reason ~= "ScaledToZero" then
  return health("Progressing", told(ready))
end
if reconciling ~= nil and reconciling.status == "True" then
  return health("Progressing", told(reconciling))
end
return health("Healthy", told(ready))
