package jobevents

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/emprops/holdfast/internal/jsjson"
)

// What a machine's message says is spread over its structure and its status (CONTRACT 2.9); the event says it in short, in
// the shape that the original's test event has (CONTRACT 4.5).
var (
	machineFields = slices.Concat(
		[]field{{key: "machine_id", add: addMachineID}},
		machineState,
		[]field{{key: "startup_time", add: addStartupTime}, copied("update_type")},
	)
	// machineState is what a machine is heard for: a heartbeat in which it is as before is no event.
	machineState = []field{
		{key: "status", add: addMachineStatus}, {key: "health", add: addMachineHealth},
		{key: "worker_count", add: addWorkerCount}, {key: "services", add: addServices},
	}
)

const (
	updateReady    = "machine_ready"
	updateShutdown = "shutdown"
)

// addMachineID takes the id from the message, or else from its channel.
func addMachineID(m *message, data *object) {
	if v := m.fields["machine_id"]; truthy(v) {
		data.add("machine_id", v)
	} else if id, ok := strings.CutPrefix(m.channel, machinePrefix); ok && id != "" {
		data.add("machine_id", jsjson.AppendString(nil, id))
	}
}

// addMachineStatus takes the machine's phase. A message of a beginning or an end that names none says it by being sent.
func addMachineStatus(m *message, data *object) {
	phase := inside(m.fields["status"], "machine")["phase"]
	switch {
	case truthy(phase):
		data.add("status", phase)
	case m.updateType() == updateReady:
		data.add("status", json.RawMessage(`"ready"`))
	case m.updateType() == updateShutdown:
		data.add("status", json.RawMessage(`"shutdown"`))
	}
}

// addMachineHealth sums up the services' health: "healthy" or "unhealthy" when all that have one say so, "degraded" when
// they differ, "unknown" when none says.
func addMachineHealth(m *message, data *object) {
	well, ill := 0, 0
	for _, service := range m.machineServices() {
		switch health := text(inside(service)["health"]); health {
		case "", "null", "unknown":
		case "healthy":
			well++
		default:
			ill++
		}
	}
	health := "degraded"
	switch {
	case well == 0 && ill == 0:
		health = "unknown"
	case ill == 0:
		health = "healthy"
	case well == 0:
		health = "unhealthy"
	}
	data.add("health", jsjson.AppendString(nil, health))
}

func addWorkerCount(m *message, data *object) {
	workers := inside(m.fields["status"], "workers")
	if workers == nil {
		workers = inside(m.fields["structure"], "workers")
	}
	data.add("worker_count", integer(int64(len(workers))))
}

// addServices lists the types of the machine's services, each once.
func addServices(m *message, data *object) {
	types := map[string]bool{}
	for _, service := range m.machineServices() {
		if v := inside(service)["service_type"]; truthy(v) {
			types[text(v)] = true
		}
	}
	var list []byte
	for _, t := range slices.Sorted(maps.Keys(types)) {
		list = jsjson.AppendString(append(list, ','), t)
	}
	data.add("services", append(append([]byte{'['}, list[min(1, len(list)):]...), ']'))
}

// addStartupTime tells how long, in ms, a machine that is ready now took to become so.
func addStartupTime(m *message, data *object) {
	if v := inside(m.fields["status"], "machine")["uptime_ms"]; m.updateType() == updateReady && isNumber(v) {
		data.add("startup_time", v)
	}
}

func (m *message) updateType() string { return text(m.fields["update_type"]) }

// machineServices are those that the status tells of, or else the structure.
func (m *message) machineServices() map[string]json.RawMessage {
	if services := inside(m.fields["status"], "services"); services != nil {
		return services
	}
	return inside(m.fields["structure"], "services")
}

// inside are the members of an object, or of the object that is found in it by way of the keys; nil when there is none.
func inside(v json.RawMessage, way ...string) map[string]json.RawMessage {
	if len(v) == 0 || v[0] != '{' {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(v, &members) != nil || len(way) == 0 {
		return members
	}
	return inside(members[way[0]], way[1:]...)
}
