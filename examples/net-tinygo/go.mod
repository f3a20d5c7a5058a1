module example.com/net

go 1.25

require edgeplug v0.0.0

replace edgeplug => ../../guests/tinygo
