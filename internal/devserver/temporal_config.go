//go:build !lean

package devserver

import (
	"context"
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

const (
	internalIP  = "127.0.0.1" // of the services behind the frontend
	clusterName = "active"
)

// temporalPorts are the ports of the four services that make up the server. They find each other by this list, without
// the gossip protocol of a cluster: fewer ports and a quicker start.
type temporalPorts struct{ frontend, history, matching, worker int }

func choosePorts(ctx context.Context, opts TemporalOptions) (p temporalPorts, err error) {
	if p.frontend, err = choosePort(ctx, PortTemporal, opts.Address, opts.Port); err != nil {
		return p, err
	}
	for _, port := range []*int{&p.history, &p.matching, &p.worker} {
		if *port, err = FreePort(internalIP); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p temporalPorts) hosts(frontendIP string) map[primitives.ServiceName]static.Hosts {
	host := func(ip string, port int) static.Hosts {
		return static.SingleLocalHost(net.JoinHostPort(ip, strconv.Itoa(port)))
	}
	return map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: host(frontendIP, p.frontend),
		primitives.HistoryService:  host(internalIP, p.history),
		primitives.MatchingService: host(internalIP, p.matching),
		primitives.WorkerService:   host(internalIP, p.worker),
	}
}

// temporalConfig returns the static configuration of a server that is a whole cluster by itself: one history shard,
// because one process and one database file gain nothing from more, and no archival.
func temporalConfig(opts TemporalOptions, ports temporalPorts, s stores) *config.Config {
	frontend := net.JoinHostPort(dialIP(opts.Address), strconv.Itoa(ports.frontend))
	service := func(ip string, port int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: ip}}
	}
	const disabled = "disabled"
	return &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     "main",
			VisibilityStore:  "visibility",
			NumHistoryShards: 1,
			DataStores: map[string]config.DataStore{
				"main":       {SQL: s.main},
				"visibility": {SQL: s.visibility},
			},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(opts.Address, ports.frontend),
			string(primitives.HistoryService):  service(internalIP, ports.history),
			string(primitives.MatchingService): service(internalIP, ports.matching),
			string(primitives.WorkerService):   service(internalIP, ports.worker),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: disabled},
			Visibility: config.VisibilityArchival{State: disabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
		}},
		PublicClient: config.PublicClient{HostPort: frontend},
	}
}

// dynamicConfig returns the settings in which this server differs from a production cluster with default settings. None
// changes what a workflow may do, except that limits made to share a cluster between tenants are lifted: on one machine
// the machine is the limit.
func dynamicConfig() dynamicconfig.StaticClient {
	const unlimited = 1_000_000 // requests per second
	return dynamicconfig.StaticClient{
		// The first workflow task of a delivery comes with the answer to its start.
		dynamicconfig.EnableEagerWorkflowStart.Key(): true,

		// An id is free again as soon as its workflow has ended.
		dynamicconfig.WorkflowIdReuseMinimalInterval.Key(): time.Duration(0),

		// One poller per task queue finds every task without forwarding between partitions.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		// Many callers change one webhook at the same time, and its workflow lives as long as the webhook.
		dynamicconfig.WorkflowExecutionMaxInFlightUpdates.Key(): 1_000,
		dynamicconfig.WorkflowExecutionMaxTotalUpdates.Key():    100_000,

		dynamicconfig.FrontendRPS.Key():                                         unlimited,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key():                  unlimited,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():        unlimited,
		dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(): unlimited,
		dynamicconfig.FrontendPersistenceMaxQPS.Key():                           unlimited,
		dynamicconfig.HistoryRPS.Key():                                          unlimited,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():                            unlimited,
		dynamicconfig.MatchingRPS.Key():                                         unlimited,
		dynamicconfig.MatchingPersistenceMaxQPS.Key():                           unlimited,
		dynamicconfig.WorkerPersistenceMaxQPS.Key():                             unlimited,
		dynamicconfig.WorkerPerNamespaceWorkerStartRate.Key():                   1_000.0,
		// A poll takes 100 tasks at once; the default of 20 polls is meant for one shard among hundreds. What is seen in lists
		// may come a tenth of a second later, for the sake of the database that has other things to do.
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   500,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      500,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 10,
		// Nobody waits for timers and lists as a publisher does for a start, and a database does one thing at a time anyway: one
		// worker each leaves the other cores to what is waited for.
		dynamicconfig.TimerProcessorSchedulerWorkerCount.Key():      1,
		dynamicconfig.VisibilityProcessorSchedulerWorkerCount.Key(): 1,

		// A development server does not call home.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
	}
}
