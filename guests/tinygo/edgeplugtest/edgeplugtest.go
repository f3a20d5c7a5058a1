// Package edgeplugtest plays the daemon for a plugin's tests, which run natively:
//
//	func TestReadsTheLoad(t *testing.T) {
//		host := edgeplugtest.New(t)
//		host.Files["/proc/loadavg"] = "0.50 0.40 0.30 1/234 5678\n"
//		samples, err := (&plugin{factor: 2}).Sample()
//		...
//	}
//
// There is one host at a time, so tests that use it do not call t.Parallel.
package edgeplugtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"edgeplug"
	"edgeplug/acks"
	"edgeplug/device"
	"edgeplug/files"
	"edgeplug/hardware"
	"edgeplug/internal/played"
	"edgeplug/internal/reason"
	"edgeplug/log"
	"edgeplug/state"
	"edgeplug/telemetry"
	"edgeplug/twin"
)

// Host is what the plugin sees and what it did. The test fills it in and looks into it.
type Host struct {
	// ConfigTable is the `[config]` table of the manifest.
	ConfigTable map[string]string
	// Files is the content of granted files by path.
	Files map[string]string
	// Denied is paths that are not granted.
	Denied []string

	// DeviceID is the unique id of the device.
	DeviceID string
	// Model is what the cloud says about the device, nil for nothing.
	Model *device.Model
	// Online is whether the daemon is connected.
	Online bool
	// MayDisconnect is the right `disconnect`.
	MayDisconnect bool

	// Outcome is what becomes of every sample that is sent.
	Outcome telemetry.Outcome
	// Sent is the samples that were accepted.
	Sent []edgeplug.Sample
	// Logged is lines such as `info: hello`.
	Logged []string

	// Document is what the hub answers. Reports are listed, not merged into it.
	Document twin.Document
	// TwinErr is what the hub answers in place of that, when it is not nil.
	TwinErr error
	// Reports is the patches that were reported.
	Reports []string

	// Deferred is the ids of commands and updates under way; nil lets every id be known.
	Deferred []string
	// Endings is how they ended, by id.
	Endings map[string]edgeplug.Ending
	// Progresses is lines such as `u1 50 writing`.
	Progresses []string

	// Kept is the plugin's memory.
	Kept map[string][]byte
	// Firmware is the files of updates by id.
	Firmware map[string][]byte

	// PlayI2C and PlaySPI play the devices; when they are nil there are none.
	PlayI2C func(bus string, address uint16, operations []hardware.I2COperation) ([][]byte, error)
	PlaySPI func(device string, operations []hardware.SPIOperation) ([][]byte, error)
	// Lines is lines of general purpose by name, true when active.
	Lines map[string]bool
	// Ports is serial ports by name.
	Ports map[string]*Port
}

// Port is a serial port.
type Port struct {
	// Incoming is what the plugin will read.
	Incoming []byte
	// Outgoing is what it wrote.
	Outgoing []byte
}

// New plays a daemon that is connected and grants and has nothing else, until the test is over.
func New(t interface{ Cleanup(func()) }) *Host {
	host := &Host{
		ConfigTable: map[string]string{},
		Files:       map[string]string{},
		DeviceID:    "test-device",
		Online:      true,
		Document:    twin.Document{Desired: "{}", DesiredVersion: 1, Reported: "{}", ReportedVersion: 1},
		Endings:     map[string]edgeplug.Ending{},
		Kept:        map[string][]byte{},
		Firmware:    map[string][]byte{},
		Lines:       map[string]bool{},
		Ports:       map[string]*Port{},
	}
	played.Set((*answers)(host))
	t.Cleanup(func() { played.Set(nil) })
	return host
}

// Keeps the methods below out of Host's.
type answers Host

func (h *answers) Log(level uint8, message string) {
	h.Logged = append(h.Logged, log.Level(level).String()+": "+message)
}

func (h *answers) Config() map[string]string { return h.ConfigTable }

func (h *answers) Send(samples []edgeplug.Sample) []any {
	if h.Outcome.Accepted() {
		h.Sent = append(h.Sent, samples...)
	}
	outcomes := make([]any, len(samples))
	for i := range outcomes {
		outcomes[i] = h.Outcome
	}
	return outcomes
}

func (h *answers) UniqueID() string { return h.DeviceID }

func (h *answers) Template() any { return h.Model }

func (h *answers) Connected() bool { return h.Online }

func (h *answers) SwitchConnection(connected bool) error {
	if !h.MayDisconnect {
		return errors.New("the played daemon does not grant `disconnect`; see MayDisconnect")
	}
	h.Online = connected
	return nil
}

func (h *answers) Twin() (any, error) { return h.Document, h.TwinErr }

func (h *answers) ReportTwin(patch string) (uint64, error) {
	if h.TwinErr != nil {
		return 0, h.TwinErr
	}
	h.Reports = append(h.Reports, patch)
	h.Document.ReportedVersion++
	return h.Document.ReportedVersion, nil
}

func (h *answers) Finish(id string, ending edgeplug.Ending) error {
	if _, ended := h.Endings[id]; ended || h.Deferred != nil && !slices.Contains(h.Deferred, id) {
		return acks.ErrUnknown
	}
	h.Endings[id] = ending
	return nil
}

func (h *answers) Progress(id string, percent uint8, message string) {
	h.Progresses = append(h.Progresses, fmt.Sprintf("%s %d %s", id, percent, message))
}

// The limits of a plugin's memory.
const (
	keysMax       = 64
	keyBytesMax   = 128
	stateBytesMax = 64 << 10
)

func (h *answers) State(key string) ([]byte, error) { return slices.Clone(h.Kept[key]), nil }

func (h *answers) SetState(key string, value []byte) error {
	keys, size := 1, len(key)+len(value)
	for name, kept := range h.Kept {
		if name != key {
			keys++
			size += len(name) + len(kept)
		}
	}
	switch {
	case key == "" || len(key) > keyBytesMax:
		return reason.Of(state.ErrQuota, fmt.Sprintf("a key has 1 to %d bytes, this one has %d", keyBytesMax, len(key)))
	case keys > keysMax:
		return reason.Of(state.ErrQuota, fmt.Sprintf("there are %d keys already", keysMax))
	case size > stateBytesMax:
		return reason.Of(state.ErrQuota, fmt.Sprintf("it would be more than %d bytes in all", stateBytesMax))
	}
	h.Kept[key] = append([]byte{}, value...)
	return nil
}

func (h *answers) DeleteState(key string) error {
	delete(h.Kept, key)
	return nil
}

func (h *answers) StateKeys() ([]string, error) { return slices.Sorted(maps.Keys(h.Kept)), nil }

const readMax = 1 << 20

func (h *answers) file(path string) (string, error) {
	if slices.Contains(h.Denied, path) {
		return "", reason.Of(files.ErrDenied, fmt.Sprintf("the played daemon does not grant %s", path))
	}
	content, found := h.Files[path]
	if !found {
		return "", files.ErrNotFound
	}
	return content, nil
}

func (h *answers) ReadFile(path string) ([]byte, error) {
	content, err := h.file(path)
	if err == nil && len(content) > readMax {
		err = &files.TooLargeError{LimitBytes: readMax}
	}
	if err != nil {
		return nil, err
	}
	return []byte(content), nil
}

func (h *answers) ReadFileAt(path string, offset uint64, length uint32) ([]byte, error) {
	content, err := h.file(path)
	if err == nil && length > readMax {
		err = &files.TooLargeError{LimitBytes: readMax}
	}
	if err != nil {
		return nil, err
	}
	return part([]byte(content), offset, length), nil
}

func (h *answers) FindFiles(pattern string) ([]string, error) {
	var paths []string
	for path := range h.Files {
		if fits(pattern, path) && !slices.Contains(h.Denied, path) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths, nil
}

func (h *answers) ReadFirmware(id string, offset uint64, length uint32) ([]byte, error) {
	file, found := h.Firmware[id]
	if !found {
		return nil, fmt.Errorf("no update %q is under way", id)
	}
	if length > readMax {
		return nil, fmt.Errorf("%d bytes at once; at most %d are read", length, readMax)
	}
	return part(file, offset, length), nil
}

func part(content []byte, offset uint64, length uint32) []byte {
	from := min(offset, uint64(len(content)))
	return slices.Clone(content[from:min(from+uint64(length), uint64(len(content)))])
}

// As the daemon matches: neither `*` nor `?` stands for `/`.
func fits(pattern, path string) bool {
	if pattern == "" {
		return path == ""
	}
	if pattern[0] == '*' && fits(pattern[1:], path) {
		return true
	}
	if path == "" {
		return false
	}
	switch pattern[0] {
	case '*':
		return path[0] != '/' && fits(pattern, path[1:])
	case '?':
		return path[0] != '/' && fits(pattern[1:], path[1:])
	}
	return pattern[0] == path[0] && fits(pattern[1:], path[1:])
}

func missing(name string) error {
	return reason.Of(hardware.ErrDenied, fmt.Sprintf("the played daemon has no %q", name))
}

func (h *answers) I2C(bus string, address uint16, operations any) ([][]byte, error) {
	if h.PlayI2C == nil {
		return nil, missing(bus)
	}
	return h.PlayI2C(bus, address, operations.([]hardware.I2COperation))
}

func (h *answers) SPI(device string, operations any) ([][]byte, error) {
	if h.PlaySPI == nil {
		return nil, missing(device)
	}
	return h.PlaySPI(device, operations.([]hardware.SPIOperation))
}

func (h *answers) ReadLine(line string) (bool, error) {
	active, found := h.Lines[line]
	if !found {
		return false, missing(line)
	}
	return active, nil
}

func (h *answers) WriteLine(line string, active bool) error {
	if _, found := h.Lines[line]; !found {
		return missing(line)
	}
	h.Lines[line] = active
	return nil
}

func (h *answers) ReadPort(port string, length uint32) ([]byte, error) {
	played, found := h.Ports[port]
	if !found {
		return nil, missing(port)
	}
	read := part(played.Incoming, 0, length)
	played.Incoming = played.Incoming[len(read):]
	return read, nil
}

func (h *answers) WritePort(port string, data []byte) error {
	played, found := h.Ports[port]
	if !found {
		return missing(port)
	}
	played.Outgoing = append(played.Outgoing, data...)
	return nil
}
