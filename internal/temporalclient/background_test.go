package temporalclient_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/emprops/holdfast/internal/temporalclient"
)

// Temporal is told of each call that is to let others go first, and of no other.
func TestG7_BackgroundCallsSayThatTheyCanWait(t *testing.T) {
	t.Parallel()
	said := make(chan []string, 100)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		sent, _ := metadata.FromIncomingContext(stream.Context())
		said <- sent.Get("caller-type")
		return status.Error(codes.InvalidArgument, "enough")
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	for _, background := range []bool{true, false} {
		c, err := temporalclient.Dial(temporalclient.Options{
			Address: listener.Addr().String(), Namespace: "n", Background: background,
		}, zap.NewNop())
		require.NoError(t, err)
		t.Cleanup(c.Close)
		_, err = c.CheckHealth(t.Context(), &client.CheckHealthRequest{})
		require.Error(t, err)
		want := []string(nil)
		if background {
			want = []string{"preemptable"}
		}
		require.Equal(t, want, <-said)
	}
}
