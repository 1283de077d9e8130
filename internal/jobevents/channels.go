package jobevents

// Channels are the job broker's pub/sub channels; the channel's name is the event's type (CONTRACT 2).
var Channels = []string{
	"job_submitted", "update_job_progress", "complete_job", "job_failed", "cancel_job", "worker_status",
	"workflow_submitted", "workflow_completed", "workflow_failed",
}

// MachineStatusPattern matches the channels of the machines, machine:status:<machine id> (CONTRACT 2.9).
const MachineStatusPattern = "machine:status:*"

const (
	channelProgress  = "update_job_progress"
	channelComplete  = "complete_job"
	channelCompleted = "workflow_completed"
)
