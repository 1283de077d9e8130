package testkit

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAClockJumpsForItsProcessesAlone(t *testing.T) {
	t.Parallel()
	clock := NewClock(t)
	cmd := exec.CommandContext(t.Context(), BuildWithClock(t, "./internal/testkit/testdata/now"))
	cmd.Env = append(os.Environ(), clock.Env()...)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := bufio.NewReader(out)
	server := RedisWithClock(t, clock)
	client := RedisClient(t, server)

	const slack = float64(30 * time.Second)
	for _, off := range []time.Duration{0, time.Hour, -time.Hour, 0} {
		clock.Jump(off - clock.offset)
		_, err := io.WriteString(in, "now\n")
		require.NoError(t, err)
		line, err := said.ReadString('\n')
		require.NoError(t, err)
		var seconds, measured int64
		_, err = fmt.Sscan(line, &seconds, &measured)
		require.NoError(t, err)
		require.InDelta(t, off, time.Until(time.Unix(seconds, 0)), slack)
		require.InDelta(t, 0, time.Duration(measured)*time.Millisecond, slack, "what is measured does not jump")
		now, err := client.Time(t.Context()).Result()
		require.NoError(t, err)
		require.InDelta(t, off, time.Until(now), slack)
	}
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
}
