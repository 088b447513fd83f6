# Lines "CURVE: X<tab>SECONDS" become an SVG: a panel for each curve, with the
# median of each X.  Numbers of groups and of metrics are on logarithmic axes.

function median(list, values, n, i, j, t)
{
	n = split(list, values, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && values[j] + 0 < values[j - 1] + 0; j--) {
			t = values[j]; values[j] = values[j - 1]; values[j - 1] = t
		}
	return (values[int((n + 1) / 2)] + values[int(n / 2) + 1]) / 2
}

function scale(curve, x)
{
	return logarithmic[curve] ? log(x) : x
}

# 10000000 becomes 10M.
function short(x)
{
	return x >= 1e6 ? sprintf("%.3gM", x / 1e6) : x >= 1e4 ? sprintf("%.3gk", x / 1e3) : x
}

function text(x, y, what, anchor)
{
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, what
}

function line(x1, y1, x2, y2)
{
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#999\"/>\n", x1, y1, x2, y2
}

# The panel of a curve, its lower left corner at (left, bottom).
function panel(curve, left, bottom, xs, n, i, j, t, x, y, low, high, top, points)
{
	n = split(places[curve], xs, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && xs[j] + 0 < xs[j - 1] + 0; j--) {
			t = xs[j]; xs[j] = xs[j - 1]; xs[j - 1] = t
		}
	low = logarithmic[curve] ? scale(curve, xs[1]) : 0
	high = scale(curve, xs[n])
	for (i = 1; i <= n; i++)
		if (median(seconds[curve, xs[i]]) > top)
			top = median(seconds[curve, xs[i]])
	line(left, bottom, left + width, bottom)
	line(left, bottom, left, bottom - height)
	text(left, bottom - height - 8, "read side, seconds, by " curve, "start")
	for (i = 1; i <= n; i++) {
		t = median(seconds[curve, xs[i]])
		x = left + width * (high > low ? (scale(curve, xs[i]) - low) / (high - low) : 0)
		y = bottom - height * (top > 0 ? t / top : 0)
		points = points sprintf("%.1f,%.1f ", x, y)
		printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"#36c\"/>\n", x, y
		text(x, y - 7, sprintf("%.3g", t), "middle")
		text(x, bottom + 16, short(xs[i]), "middle")
	}
	printf "<polyline points=\"%s\" fill=\"none\" stroke=\"#36c\"/>\n", points
}

BEGIN {
	FS = "\t"
	width = 340
	height = 200
	logarithmic["groups"] = logarithmic["metrics"] = 1
}

{
	split($1, name, ": ")
	if (!(name[1] in places))
		curves[++count] = name[1]
	if (!((name[1], name[2]) in seconds))
		places[name[1]] = places[name[1]] " " name[2]
	seconds[name[1], name[2]] = seconds[name[1], name[2]] " " $2
}

END {
	print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"880\" height=\"580\" font-family=\"sans-serif\" font-size=\"11\">"
	print "<rect width=\"880\" height=\"580\" fill=\"#fff\"/>"
	for (i = 1; i <= count; i++)
		panel(curves[i], 40 + (i - 1) % 2 * 440, 250 + int((i - 1) / 2) * 290)
	print "</svg>"
}
