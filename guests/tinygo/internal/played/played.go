// Package played is how the packages of the interfaces reach the host that tests play. Package edgeplugtest plays it.
//
// It knows none of those packages, so that they can ask it; what it gives of their types is `any`.
package played

import "edgeplug"

// Host answers as the daemon would. Errors are those that the packages' functions return.
type Host interface {
	Log(level uint8, message string)
	// Config is every key with its value.
	Config() map[string]string
	// Send gives a telemetry.Outcome for every sample.
	Send(samples []edgeplug.Sample) []any
	UniqueID() string
	// Template gives a *device.Model, nil when there is none.
	Template() any
	Connected() bool
	SwitchConnection(connected bool) error
	// Twin gives a twin.Document.
	Twin() (any, error)
	ReportTwin(patch string) (uint64, error)
	Finish(id string, ending edgeplug.Ending) error
	Progress(id string, percent uint8, message string)
	// State is nil when there is no such key.
	State(key string) ([]byte, error)
	SetState(key string, value []byte) error
	DeleteState(key string) error
	StateKeys() ([]string, error)
	ReadFile(path string) ([]byte, error)
	ReadFileAt(path string, offset uint64, length uint32) ([]byte, error)
	FindFiles(pattern string) ([]string, error)
	ReadFirmware(id string, offset uint64, length uint32) ([]byte, error)
	// I2C takes []hardware.I2COperation, SPI takes []hardware.SPIOperation.
	I2C(bus string, address uint16, operations any) ([][]byte, error)
	SPI(device string, operations any) ([][]byte, error)
	ReadLine(line string) (bool, error)
	WriteLine(line string, active bool) error
	ReadPort(port string, length uint32) ([]byte, error)
	WritePort(port string, data []byte) error
}

var current Host

// Set makes a host the current one.
func Set(host Host) { current = host }

// Current is the host of the test that runs.
func Current() Host {
	if current == nil {
		panic("there is no daemon here: call edgeplugtest.New first")
	}
	return current
}
