package jobevents

import "strings"

// Channels are the job broker's pub/sub channels; the channel's name is the event's type (CONTRACT 2).
var Channels = []string{
	channelSubmitted, channelProgress, channelComplete, channelFailed, channelCancel, channelWorker,
	channelStarted, channelCompleted, channelWorkflowFailed,
}

// MachineStatusPattern matches the channels of the machines, machine:status:<machine id> (CONTRACT 2.9).
const MachineStatusPattern = machinePrefix + "*"

const (
	channelSubmitted      = "job_submitted"
	channelProgress       = "update_job_progress"
	channelComplete       = "complete_job"
	channelFailed         = "job_failed"
	channelCancel         = "cancel_job"
	channelWorker         = "worker_status"
	channelStarted        = "workflow_submitted"
	channelCompleted      = "workflow_completed"
	channelWorkflowFailed = "workflow_failed"

	machinePrefix = "machine:status:"
	machineStatus = "machine_status"
)

// typeOf is the type of a channel's events.
func typeOf(channel string) string {
	if strings.HasPrefix(channel, machinePrefix) {
		return machineStatus
	}
	return channel
}
