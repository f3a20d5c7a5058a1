package edgeplugtest_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"edgeplug"
	"edgeplug/acks"
	"edgeplug/commands"
	"edgeplug/config"
	"edgeplug/device"
	"edgeplug/edgeplugtest"
	"edgeplug/files"
	"edgeplug/firmware"
	"edgeplug/hardware"
	"edgeplug/state"
	"edgeplug/telemetry"
	"edgeplug/twin"
)

func TestConfigIsParsedAndAnErrorNamesKeyAndValue(t *testing.T) {
	host := edgeplugtest.New(t)
	host.ConfigTable = map[string]string{"factor": " 2.5 ", "every": "90s", "count": "many", "on": "true"}
	if factor, err := config.Float("factor", 1); factor != 2.5 || err != nil {
		t.Error(factor, err)
	}
	if every, err := config.Duration("every", 0); every != 90*time.Second || err != nil {
		t.Error(every, err)
	}
	if on, err := config.Bool("on", false); !on || err != nil {
		t.Error(on, err)
	}
	if missing, err := config.Int("missing", 7); missing != 7 || err != nil {
		t.Error(missing, err)
	}
	_, err := config.Int("count", 7)
	if err == nil || !strings.Contains(err.Error(), "count") || !strings.Contains(err.Error(), `"many"`) {
		t.Error(err)
	}
	var keys []string
	for key := range config.All() {
		keys = append(keys, key)
	}
	if !reflect.DeepEqual(keys, []string{"count", "every", "factor", "on"}) {
		t.Error(keys)
	}
}

func TestFilesAnswerLikeTheDaemons(t *testing.T) {
	host := edgeplugtest.New(t)
	host.Files = map[string]string{"/sys/a/temp": "1", "/sys/b/temp": "22", "/big": strings.Repeat("x", 1<<20+1)}
	host.Denied = []string{"/etc/shadow"}
	for pattern, want := range map[string][]string{
		"/sys/*/temp": {"/sys/a/temp", "/sys/b/temp"},
		"/sys/?/t*":   {"/sys/a/temp", "/sys/b/temp"},
		"/sys/*":      nil,
		"*":           nil,
		"/big*":       {"/big"},
	} {
		if paths, err := files.Find(pattern); err != nil || !reflect.DeepEqual(paths, want) {
			t.Error(pattern, paths, err)
		}
	}
	if _, err := files.ReadAt("/sys/b/temp", 1, 1<<20+1); err == nil {
		t.Error("more was read at once than the daemon reads")
	}
	if content, err := files.ReadAt("/sys/b/temp", 1, 5); string(content) != "2" || err != nil {
		t.Error(content, err)
	}
	if _, err := files.Read("/none"); !errors.Is(err, files.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	_, err := files.Read("/etc/shadow")
	if !errors.Is(err, files.ErrDenied) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "/etc/shadow") {
		t.Error(err)
	}
	var tooLarge *files.TooLargeError
	if _, err := files.Read("/big"); !errors.As(err, &tooLarge) || tooLarge.LimitBytes != 1<<20 {
		t.Error(err)
	}
}

func TestSamplesAreSentOrRejected(t *testing.T) {
	host := edgeplugtest.New(t)
	sample := edgeplug.NewSample("on", edgeplug.Boolean(true))
	outcomes := telemetry.Send(sample, sample)
	if len(outcomes) != 2 || !outcomes[1].Accepted() || outcomes[0].Err() != nil {
		t.Error(outcomes)
	}
	host.Outcome = telemetry.Outcome{Fate: telemetry.Rejected, Reason: "full"}
	if outcomes := telemetry.Send(sample); outcomes[0].Accepted() || outcomes[0].Err() == nil {
		t.Error(outcomes)
	}
	if len(host.Sent) != 2 || host.Sent[0].Get("on") != edgeplug.Boolean(true) || host.Sent[0].Get("off") != nil {
		t.Error(host.Sent)
	}
}

func TestAFirmwareFileIsReadThroughIo(t *testing.T) {
	host := edgeplugtest.New(t)
	content := bytes.Repeat([]byte("firmware"), 300_000)
	host.Firmware["u1"] = content
	update := &firmware.Update{ID: "u1", Size: uint64(len(content))}
	read, err := io.ReadAll(update.Reader())
	if err != nil || !bytes.Equal(read, content) {
		t.Error(len(read), err)
	}
	if n, err := update.ReadAt(make([]byte, 10), int64(len(content)-4)); n != 4 || err != io.EOF {
		t.Error(n, err)
	}
	if _, err := (&firmware.Update{ID: "u2"}).ReadAt(make([]byte, 1), 0); err == nil || err == io.EOF {
		t.Error(err)
	}
}

func TestStateIsKeptWithinItsBounds(t *testing.T) {
	host := edgeplugtest.New(t)
	if value, err := state.Get("a"); value != nil || err != nil {
		t.Error(value, err)
	}
	for _, value := range [][]byte{{1}, nil} {
		if err := state.Set("a", value); err != nil {
			t.Error(err)
		}
		if kept, err := state.Get("a"); kept == nil || !bytes.Equal(kept, value) || err != nil {
			t.Error(kept, err)
		}
	}
	for key, size := range map[string]int{"": 1, strings.Repeat("k", 129): 1, "b": 64 << 10} {
		if err := state.Set(key, make([]byte, size)); !errors.Is(err, state.ErrQuota) {
			t.Error(err)
		}
	}
	if err := state.Delete("a"); err != nil || len(host.Kept) != 0 {
		t.Error(err, host.Kept)
	}
}

func TestTheCloudIsPlayed(t *testing.T) {
	host := edgeplugtest.New(t)
	host.Deferred = []string{"c1"}
	if err := acks.Finish("c1", edgeplug.Done("closed")); err != nil || host.Endings["c1"] != edgeplug.Done("closed") {
		t.Error(err, host.Endings)
	}
	for _, id := range []string{"c1", "c2"} {
		if err := acks.Finish(id, edgeplug.Failed("stuck")); !errors.Is(err, acks.ErrUnknown) {
			t.Error(err)
		}
	}
	if version, err := twin.Report(`{"on":true}`); version != 2 || err != nil || len(host.Reports) != 1 {
		t.Error(version, err)
	}
	host.TwinErr = &twin.RefusedError{Status: 429}
	var refused *twin.RefusedError
	if _, err := twin.Get(); !errors.As(err, &refused) || refused.Status != 429 {
		t.Error(err)
	}
	if device.Template() != nil || device.Disconnect() == nil || !device.Connected() {
		t.Error("nothing is granted")
	}
	host.MayDisconnect = true
	if err := device.Disconnect(); err != nil || device.Connected() {
		t.Error(err)
	}
}

func TestBusesAreWhatDriversWant(t *testing.T) {
	host := edgeplugtest.New(t)
	read := make([]byte, 2)
	if err := hardware.I2C("bus").Tx(0x40, []byte{1}, read); !errors.Is(err, hardware.ErrDenied) {
		t.Error(err)
	}
	host.PlayI2C = func(_ string, address uint16, operations []hardware.I2COperation) ([][]byte, error) {
		want := []hardware.I2COperation{hardware.Write{1}, hardware.Read(2)}
		if address != 0x40 || !reflect.DeepEqual(operations, want) {
			t.Error(address, operations)
		}
		return [][]byte{{3, 4}}, nil
	}
	if err := hardware.I2C("bus").Tx(0x40, []byte{1}, read); err != nil || !bytes.Equal(read, []byte{3, 4}) {
		t.Error(read, err)
	}
	host.PlaySPI = func(_ string, operations []hardware.SPIOperation) ([][]byte, error) {
		return [][]byte{operations[0].(hardware.Transfer)}, nil
	}
	if in, err := hardware.SPI("device").Transfer(7); in != 7 || err != nil {
		t.Error(in, err)
	}
	host.Ports["port"] = &edgeplugtest.Port{Incoming: []byte("hello")}
	port := hardware.Port("port")
	if line, err := port.Receive(3, time.Second); string(line) != "hel" || err != nil {
		t.Error(line, err)
	}
	if n, err := port.Write([]byte("ok")); n != 2 || err != nil || string(host.Ports["port"].Outgoing) != "ok" {
		t.Error(n, err)
	}
}

func TestACommandIsANameAndArguments(t *testing.T) {
	for text, want := range map[string][2]string{
		"set-led-green off": {"set-led-green", "off"},
		"  go   a  b ":      {"go", "a  b"},
		"go":                {"go", ""},
		"":                  {"", ""},
		"\t":                {"", ""},
	} {
		command := commands.Command{Text: text}
		if got := [2]string{command.Name(), command.Arguments()}; got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
