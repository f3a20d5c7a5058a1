// Package log is the plugin's voice in the daemon's log, under the plugin's own name. Nothing here fails or waits.
// Messages past 4 KiB are cut; more than 250 messages a second are dropped and counted.
//
// Package edgeplug/sloghandler does the same for log/slog. What is printed to standard output and standard error is in
// the daemon's log too.
package log

import "fmt"

// Level is how much a message matters.
type Level uint8

const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

func (l Level) String() string {
	switch l {
	case Trace:
		return "trace"
	case Debug:
		return "debug"
	case Info:
		return "info"
	case Warn:
		return "warn"
	}
	return "error"
}

// Log logs one message.
func Log(level Level, message string) { log(level, message) }

// Tracef logs at level trace, as fmt.Sprintf formats.
func Tracef(format string, arguments ...any) { Log(Trace, fmt.Sprintf(format, arguments...)) }

// Debugf logs at level debug, as fmt.Sprintf formats.
func Debugf(format string, arguments ...any) { Log(Debug, fmt.Sprintf(format, arguments...)) }

// Infof logs at level info, as fmt.Sprintf formats.
func Infof(format string, arguments ...any) { Log(Info, fmt.Sprintf(format, arguments...)) }

// Warnf logs at level warn, as fmt.Sprintf formats.
func Warnf(format string, arguments ...any) { Log(Warn, fmt.Sprintf(format, arguments...)) }

// Errorf logs at level error, as fmt.Sprintf formats.
func Errorf(format string, arguments ...any) { Log(Error, fmt.Sprintf(format, arguments...)) }
