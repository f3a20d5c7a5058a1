package main

import (
	"reflect"
	"testing"

	"edgeplug"
	"edgeplug/commands"
	"edgeplug/edgeplugtest"
)

func TestReadsTheLoad(t *testing.T) {
	host := edgeplugtest.New(t)
	host.ConfigTable["factor"] = "2"
	host.Files[loadavg] = "0.50 0.40 0.30 1/234 5678\n"
	plugin := &plugin{}
	if err := plugin.Start(); err != nil {
		t.Fatal(err)
	}
	samples, err := plugin.Sample()
	want := []edgeplug.Sample{edgeplug.NewSample("load", edgeplug.Number(1))}
	if err != nil || !reflect.DeepEqual(samples, want) {
		t.Errorf("%v, %v; want %v", samples, err, want)
	}
}

func TestSaysWhatItCannotRead(t *testing.T) {
	host := edgeplugtest.New(t)
	plugin := &plugin{}
	if _, err := plugin.Sample(); err == nil {
		t.Error("there is no file, and no error")
	}
	host.Files[loadavg] = "busy\n"
	if _, err := plugin.Sample(); err == nil {
		t.Error("there is no number, and no error")
	}
	host.ConfigTable["factor"] = "two"
	if err := plugin.Start(); err == nil {
		t.Error("the factor is no number, and there is no error")
	}
}

func TestAnswersPing(t *testing.T) {
	plugin := &plugin{}
	reply, err := plugin.Handle(commands.Command{Text: "ping"})
	if reply != edgeplug.Done("pong") || err != nil {
		t.Error(reply, err)
	}
	reply, err = plugin.Handle(commands.Command{Text: "dance"})
	if _, failed := reply.(edgeplug.Failed); !failed || err != nil {
		t.Error(reply, err)
	}
}
