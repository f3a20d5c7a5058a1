module edgeplug

go 1.25
