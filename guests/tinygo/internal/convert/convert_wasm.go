// Package convert turns the values of package edgeplug into those of the generated code, and back.
//
// All text that leaves goes through Text: the component model traps on what is no UTF-8, and Go's strings may be
// anything.
//
// It does without fmt, which would double the smallest plugin.
package convert

import (
	"strings"
	"time"

	"edgeplug"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_types"
	"edgeplug/internal/wit_types"
)

// Text replaces what is no UTF-8.
func Text(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// Name is none when it is empty.
func Name(name string) wit_types.Option[string] {
	if name == "" {
		return wit_types.None[string]()
	}
	return wit_types.Some(Text(name))
}

// NameOf is empty when there is none.
func NameOf(option wit_types.Option[string]) string {
	name, _ := option.Get()
	return name
}

// Failure is a result that failed with an error's text.
func Failure[T any](err error) wit_types.Result[T, string] {
	return wit_types.Err[T](Text(err.Error()))
}

// Success is a result without a value, failed when there is an error.
func Success(err error) wit_types.Result[wit_types.Unit, string] {
	if err != nil {
		return Failure[wit_types.Unit](err)
	}
	return wit_types.Ok[wit_types.Unit, string](wit_types.Unit{})
}

// Samples on their way out. It panics on an attribute or a member without a value.
func Samples(samples []edgeplug.Sample) []wit.Sample {
	converted := make([]wit.Sample, 0, len(samples))
	for i := range samples {
		converted = append(converted, sample(&samples[i]))
	}
	return converted
}

func sample(sample *edgeplug.Sample) wit.Sample {
	converted := wit.Sample{Device: Name(sample.Device)}
	converted.Values = make([]wit_types.Tuple2[string, wit.Value], 0, len(sample.Values))
	if !sample.Time.IsZero() {
		converted.Time = wit_types.Some(wit.Moment{
			Seconds: sample.Time.Unix(), Nanoseconds: uint32(sample.Time.Nanosecond()),
		})
	}
	for _, attribute := range sample.Values {
		converted.Values = append(converted.Values, wit_types.Tuple2[string, wit.Value]{
			F0: Text(attribute.Name), F1: value(attribute.Name, attribute.Value),
		})
	}
	return converted
}

func value(name string, value edgeplug.Value) wit.Value {
	switch value := value.(type) {
	case edgeplug.Boolean:
		return wit.MakeValueBoolean(bool(value))
	case edgeplug.Integer:
		return wit.MakeValueInteger(int64(value))
	case edgeplug.Number:
		return wit.MakeValueNumber(float64(value))
	case edgeplug.Text:
		return wit.MakeValueText(Text(string(value)))
	case edgeplug.LatLong:
		return wit.MakeValueLatLong(wit.LatLong{Latitude: value.Latitude, Longitude: value.Longitude})
	case edgeplug.Object:
		members := make([]wit_types.Tuple2[string, wit.Scalar], 0, len(value))
		for _, member := range value {
			members = append(members, wit_types.Tuple2[string, wit.Scalar]{F0: Text(member.Name), F1: scalar(name, member)})
		}
		return wit.MakeValueObject(members)
	}
	panic("the attribute " + name + " has no value")
}

func scalar(name string, member edgeplug.Member) wit.Scalar {
	switch value := member.Value.(type) {
	case edgeplug.Boolean:
		return wit.MakeScalarBoolean(bool(value))
	case edgeplug.Integer:
		return wit.MakeScalarInteger(int64(value))
	case edgeplug.Number:
		return wit.MakeScalarNumber(float64(value))
	case edgeplug.Text:
		return wit.MakeScalarText(Text(string(value)))
	}
	panic("the attribute " + name + " has a member " + member.Name + " without a value")
}

// SamplesOf is samples on their way in.
func SamplesOf(samples []wit.Sample) []edgeplug.Sample {
	converted := make([]edgeplug.Sample, 0, len(samples))
	for i := range samples {
		sample := edgeplug.Sample{Device: NameOf(samples[i].Device)}
		// Most transforms add one.
		sample.Values = make([]edgeplug.Attribute, 0, len(samples[i].Values)+1)
		if moment, measured := samples[i].Time.Get(); measured {
			sample.Time = time.Unix(moment.Seconds, int64(moment.Nanoseconds)).UTC()
		}
		for _, pair := range samples[i].Values {
			sample.Add(pair.F0, valueOf(pair.F1))
		}
		converted = append(converted, sample)
	}
	return converted
}

func valueOf(value wit.Value) edgeplug.Value {
	switch value.Tag() {
	case wit.Value_Boolean:
		return edgeplug.Boolean(value.Boolean())
	case wit.Value_Integer:
		return edgeplug.Integer(value.Integer())
	case wit.Value_Number:
		return edgeplug.Number(value.Number())
	case wit.Value_Text:
		return edgeplug.Text(value.Text())
	case wit.Value_LatLong:
		place := value.LatLong()
		return edgeplug.LatLong{Latitude: place.Latitude, Longitude: place.Longitude}
	}
	members := value.Object()
	object := make(edgeplug.Object, 0, len(members))
	for _, pair := range members {
		object.Add(pair.F0, scalarOf(pair.F1))
	}
	return object
}

func scalarOf(value wit.Scalar) edgeplug.Scalar {
	switch value.Tag() {
	case wit.Scalar_Boolean:
		return edgeplug.Boolean(value.Boolean())
	case wit.Scalar_Integer:
		return edgeplug.Integer(value.Integer())
	case wit.Scalar_Number:
		return edgeplug.Number(value.Number())
	}
	return edgeplug.Text(value.Text())
}

// Reply is what a handler said. To say nothing at all is a fault of the plugin.
func Reply(reply edgeplug.Reply, err error) wit_types.Result[wit.Reply, string] {
	if err != nil {
		return Failure[wit.Reply](err)
	}
	switch reply := reply.(type) {
	case edgeplug.Done:
		return wit_types.Ok[wit.Reply, string](wit.MakeReplyDone(Text(string(reply))))
	case edgeplug.Failed:
		return wit_types.Ok[wit.Reply, string](wit.MakeReplyFailed(Text(string(reply))))
	case edgeplug.Deferred:
		return wit_types.Ok[wit.Reply, string](wit.MakeReplyDeferred())
	}
	return wit_types.Err[wit.Reply]("the plugin answered neither with a reply nor with an error")
}

// Ending is how something ended. It panics when it is nil.
func Ending(ending edgeplug.Ending) wit.Ending {
	switch ending := ending.(type) {
	case edgeplug.Done:
		return wit.MakeEndingDone(Text(string(ending)))
	case edgeplug.Failed:
		return wit.MakeEndingFailed(Text(string(ending)))
	}
	panic("an ending is Done or Failed, not nil")
}
