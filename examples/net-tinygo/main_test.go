package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"edgeplug"
	"edgeplug/edgeplugtest"
	"edgeplug/files"
)

const heading = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`

// A line as the kernel writes it.
func line(name string, rxBytes, rxPackets, txBytes, txPackets uint64) string {
	return fmt.Sprintf("%6s:%8d %7d    1    2    0     0          0         0 %8d %7d    3    4    0     0       0          0\n",
		name, rxBytes, rxPackets, txBytes, txPackets)
}

// A plugin that was started, its host, and a clock that the test moves.
type rig struct {
	*testing.T
	host   *edgeplugtest.Host
	plugin *plugin
	now    time.Time
}

func started(t *testing.T, skip string) *rig {
	r := &rig{T: t, host: edgeplugtest.New(t), now: time.Unix(1_700_000_000, 0)}
	r.plugin = &plugin{now: func() time.Time { return r.now }}
	r.host.ConfigTable["skip"] = skip
	if err := r.plugin.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// What a reading says ten seconds after the one before, as `name{member=value …}`.
func (r *rig) reads(lines ...string) string {
	r.Helper()
	r.now = r.now.Add(10 * time.Second)
	r.host.Files[netDev] = heading + strings.Join(lines, "")
	samples, err := r.plugin.Sample()
	if err != nil {
		r.Fatal(err)
	}
	var said []string
	for _, sample := range samples {
		for _, attribute := range sample.Values {
			var members []string
			for _, member := range attribute.Value.(edgeplug.Object) {
				members = append(members, fmt.Sprintf("%s=%v", member.Name, member.Value))
			}
			said = append(said, fmt.Sprintf("%s{%s}", attribute.Name, strings.Join(members, " ")))
		}
	}
	return strings.Join(said, " ")
}

func (r *rig) wants(said, want string) {
	r.Helper()
	if said != want {
		r.Errorf("said %s\nwant %s", said, want)
	}
}

func TestTheFirstReadingHasTotalsAndTheNextRates(t *testing.T) {
	r := started(t, "lo")
	r.wants(r.reads(line("lo", 9, 9, 9, 9), line("eth0", 1000, 10, 2000, 20)), "eth0{rx_bytes=1000 tx_bytes=2000 lost=10}")
	r.wants(r.reads(line("lo", 99, 9, 99, 9), line("eth0", 2500, 15, 2000, 20)),
		"eth0{rx_bytes=2500 tx_bytes=2000 lost=10 rx_bytes_s=150 rx_packets_s=0.5 tx_bytes_s=0 tx_packets_s=0}")
}

func TestACounterOf32BitsMayGoRound(t *testing.T) {
	r := started(t, "")
	r.reads(line("eth0", 1<<32-400, 1, 5, 5))
	r.wants(r.reads(line("eth0", 600, 1, 5, 5)),
		"eth0{rx_bytes=600 tx_bytes=5 lost=10 rx_bytes_s=100 rx_packets_s=0 tx_bytes_s=0 tx_packets_s=0}")
}

func TestACounterThatWasSetBackHasNoRate(t *testing.T) {
	r := started(t, "")
	r.reads(line("eth0", 1_000_000, 1, 1<<40, 5))
	r.wants(r.reads(line("eth0", 600, 1, 7, 5)), "eth0{rx_bytes=600 tx_bytes=7 lost=10 rx_packets_s=0 tx_packets_s=0}")
}

func TestAnInterfaceThatVanishesBeginsAfresh(t *testing.T) {
	r := started(t, "")
	r.reads(line("eth0", 1, 1, 1, 1), line("wlan0", 5000, 1, 1, 1))
	r.wants(r.reads(line("eth0", 1, 1, 1, 1)),
		"eth0{rx_bytes=1 tx_bytes=1 lost=10 rx_bytes_s=0 rx_packets_s=0 tx_bytes_s=0 tx_packets_s=0}")
	r.reads(line("eth0", 1, 1, 1, 1))
	said := r.reads(line("eth0", 1, 1, 1, 1), line("wlan0", 9000, 1, 1, 1))
	if !strings.HasSuffix(said, "wlan0{rx_bytes=9000 tx_bytes=1 lost=10}") {
		t.Error(said)
	}
	want := []string{"warn: interface wlan0 is gone", "info: interface wlan0 is new"}
	if !reflect.DeepEqual(r.host.Logged, want) {
		t.Errorf("%q, want %q", r.host.Logged, want)
	}
	r.wants(r.reads(), "")
}

func TestNamesFitTheCloudAndPatternsLeaveOut(t *testing.T) {
	r := started(t, "lo veth*")
	r.wants(r.reads(line("lo", 1, 1, 1, 1), line("veth12", 1, 1, 1, 1), line("br-lan.7", 1, 1, 1, 1)),
		"br_lan_7{rx_bytes=1 tx_bytes=1 lost=10}")
	r.host.ConfigTable["skip"] = "[a"
	if err := r.plugin.Start(); err == nil || !strings.Contains(err.Error(), "[a") {
		t.Error(err)
	}
}

func TestAMachineWithContainersIsCut(t *testing.T) {
	r := started(t, "")
	var lines []string
	for i := range 2000 {
		lines = append(lines, line(fmt.Sprintf("veth%d", i), 1, 1, 1, 1))
	}
	for range 2 {
		if count := strings.Count(r.reads(lines...), "veth"); count != interfacesMax {
			t.Error(count)
		}
	}
	if len(r.host.Logged) != 1 || !strings.Contains(r.host.Logged[0], "2000 interfaces") {
		t.Errorf("%q", r.host.Logged)
	}
}

func TestWhatIsNoTableIsAnError(t *testing.T) {
	r := started(t, "")
	for _, text := range []string{"eth0: 1 2 3\n", "eth0:" + strings.Repeat(" nan", 16), "eth0: -1" + strings.Repeat(" 1", 15)} {
		r.host.Files[netDev] = text
		if samples, err := r.plugin.Sample(); err == nil || !strings.Contains(err.Error(), "eth0") {
			t.Errorf("%q: %v, %v", text, samples, err)
		}
	}
	delete(r.host.Files, netDev)
	if _, err := r.plugin.Sample(); !errors.Is(err, files.ErrNotFound) {
		t.Error(err)
	}
}
