# The assembly of generated protobuf tables, with distances in place of addresses: a table that
# holds addresses is relocated, page by page, in the private memory of each process, also in one
# that never looks at it. lib/cri/pb.c makes addresses of them in those that do. What fills a
# new message is done there as well (__init).
/^\t\.section\t/ {
	tables = $2 ~ /^\.data\.rel\.ro.*(__descriptor|__field_descriptors|__enum_values_by_n[a-z]*)[,"]/
	if (tables)
		sub(/\.data\.rel\.ro(\.local)?\./, ".data.")
}
/^\t\.(text|data|bss)$/ { tables = 0 }
tables && /^\t\.(quad|xword|8byte|dword)\t[A-Za-z_.]/ {
	if ($2 ~ /__init$/)
		$2 = "0"
	else
		$2 = $2 "-."
	print "\t" $1 "\t" $2
	next
}
{ print }
