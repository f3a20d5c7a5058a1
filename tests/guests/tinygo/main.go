// The conformance guest for TinyGo and Go, see ../GUEST.md.
package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"edgeplug"
	"edgeplug/acks"
	"edgeplug/commands"
	"edgeplug/config"
	"edgeplug/connectionevents"
	"edgeplug/firmware"
	"edgeplug/lifecycle"
	"edgeplug/log"
	"edgeplug/sensor"
	"edgeplug/transform"
	"edgeplug/twinevents"
)

func init() {
	guest := &guest{}
	sensor.Export(guest)
	commands.Export(guest)
	twinevents.Export(guest)
	connectionevents.Export(guest)
	firmware.Export(guest)
	lifecycle.Export(guest)
	transform.Export(guest)
}

func main() {}

var (
	_ lifecycle.Stopper  = (*guest)(nil)
	_ lifecycle.Saver    = (*guest)(nil)
	_ lifecycle.Restorer = (*guest)(nil)
)

type guest struct {
	calls int64
	// Ids of commands.
	deferred []string
}

func configured(key string) string {
	if value, found := config.Get(key); found {
		return value
	}
	return "(none)"
}

func (g *guest) Start() error {
	log.Infof("start: %s", configured("greeting"))
	if configured("refuse") == "start" {
		return errors.New("refused to start")
	}
	return nil
}

func (g *guest) Stop() { log.Infof("stop") }

func (g *guest) SaveState() ([]byte, error) { return fmt.Appendf(nil, "calls=%d", g.calls), nil }

func (g *guest) RestoreState(saved []byte) error {
	var calls int64
	if _, err := fmt.Sscanf(string(saved), "calls=%d", &calls); err != nil || configured("refuse") == "restore" {
		return fmt.Errorf("cannot go on from %s", saved)
	}
	g.calls = calls
	log.Infof("restored calls=%d", g.calls)
	return nil
}

func (g *guest) Sample() ([]edgeplug.Sample, error) {
	g.calls++
	for _, id := range g.deferred {
		log.Infof("finish %s: %s", id, finish(id, edgeplug.Done("late")))
	}
	g.deferred = nil
	if configured("bad") == "sample" {
		return nil, errors.New("no reading")
	}
	child := edgeplug.Sample{Device: "child-1", Time: time.Unix(1700000000, 123456789)}
	child.Add("on", edgeplug.Boolean(true))
	child.Add("count", edgeplug.Integer(-7))
	child.Add("ratio", edgeplug.Number(0.1))
	child.Add("name", edgeplug.Text("Füße ☃ 𝄞"))
	child.Add("place", edgeplug.LatLong{Latitude: 52.5, Longitude: -13.25})
	child.Add("axes", edgeplug.Object{
		{Name: "x", Value: edgeplug.Number(-0.5)},
		{Name: "n", Value: edgeplug.Integer(3)},
		{Name: "ok", Value: edgeplug.Boolean(false)},
		{Name: "unit", Value: edgeplug.Text("g")},
	})
	return []edgeplug.Sample{edgeplug.NewSample("calls", edgeplug.Integer(g.calls)), child}, nil
}

func (g *guest) DesiredChanged(change twinevents.Change) error {
	extent := "partial"
	if change.Complete {
		extent = "complete"
	}
	log.Infof("desired %d %s %s", change.Version, extent, change.Desired)
	if change.Desired == `{"reject":true}` {
		return fmt.Errorf("rejected version %d", change.Version)
	}
	return nil
}

func (g *guest) ConnectionChanged(connection connectionevents.Connection) {
	if connection.Connected {
		log.Infof("connected")
	} else {
		log.Infof("disconnected: %s", connection.Reason)
	}
}

func (g *guest) Update(update *firmware.Update) (edgeplug.Reply, error) {
	log.Infof("update %s for %s %s %s %d %s",
		update.ID, orSelf(update.Device), update.Name, update.Version, update.Size, update.SHA256)
	if update.Name == "later.bin" {
		return edgeplug.Deferred{}, nil
	}
	var sum uint32
	var length int64
	piece := make([]byte, 4096)
	for {
		n, err := update.ReadAt(piece, length)
		for _, b := range piece[:n] {
			sum += uint32(b)
		}
		length += int64(n)
		if errors.Is(err, io.EOF) {
			return edgeplug.Done(fmt.Sprintf("sum %d of %d bytes", sum, length)), nil
		}
		if err != nil {
			return edgeplug.Failed(err.Error()), nil
		}
	}
}

func (g *guest) Process(samples []edgeplug.Sample) ([]edgeplug.Sample, error) {
	for i := range samples {
		for _, attribute := range samples[i].Values {
			if attribute.Value == edgeplug.Text("bad") {
				return nil, fmt.Errorf("bad text in %s", attribute.Name)
			}
		}
		samples[i].Add("mirrored", edgeplug.Boolean(true))
	}
	return samples, nil
}

func (g *guest) Handle(command commands.Command) (edgeplug.Reply, error) {
	if strings.HasPrefix(command.Text, "whoami") {
		return edgeplug.Done(orSelf(command.Device)), nil
	}
	verb, argument, _ := strings.Cut(command.Text, " ")
	switch verb {
	case "error":
		return nil, errors.New(argument)
	case "defer":
		g.deferred = append(g.deferred, command.ID)
		return edgeplug.Deferred{}, nil
	}
	if answer, found := answers[verb]; found {
		return answer(argument), nil
	}
	return edgeplug.Failed("no command " + verb), nil
}

func orSelf(device string) string {
	if device == "" {
		return "self"
	}
	return device
}

func finish(id string, ending edgeplug.Ending) string {
	err := acks.Finish(id, ending)
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, acks.ErrUnknown):
		return "unknown"
	case errors.Is(err, acks.ErrNotYours):
		return "not-yours"
	}
	return "unavailable: " + err.Error()
}
