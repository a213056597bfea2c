package quality.microscope.focus;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/**
 * Blur diameters of the point spread function, √2 times those that hold half of its light, in units
 * of wavelength / NA: a table that the Python library made, by the cosine of the pupil's angle and
 * by the blur diameters that rays alone would give, which are proportional to the distance.
 */
final class HalfLight {
    private static final double[] GEOMETRIC;
    private static final double[] COSINES;
    private static final double[][] BLURS;

    static {
        Map<?, ?> table = (Map<?, ?>) Json.parse(text());
        GEOMETRIC = numbers(table.get("geometric"));
        COSINES = numbers(table.get("cosines"));
        List<?> rows = (List<?>) table.get("blurs");
        BLURS = new double[rows.size()][];
        for (int i = 0; i < BLURS.length; i++) {
            BLURS[i] = numbers(rows.get(i));
        }
    }

    private HalfLight() {}

    /**
     * Gives the diameter by rays at the distance where the blur has this diameter.
     *
     * @param sine of the pupil's angle
     * @param blur in wavelength / NA
     * @return in wavelength / NA; 0 up to the blur in focus, NaN for NaN
     */
    static double geometric(double sine, double blur) {
        int last = GEOMETRIC.length - 1;
        // The table ends where rays say it all.
        if (!(blur < GEOMETRIC[last])) {
            return blur;
        }
        double[] blurs = blurs(sine);
        if (blur <= blurs[0]) {
            return 0;
        }
        int at = after(blurs, blur);
        // Near focus the blur grows with the square of the distance.
        double low = blurs[at - 1] * blurs[at - 1];
        double between = (blur * blur - low) / (blurs[at] * blurs[at] - low);
        double near = GEOMETRIC[at - 1] * GEOMETRIC[at - 1];
        double far = GEOMETRIC[at] * GEOMETRIC[at];
        return Math.sqrt(near + between * (far - near));
    }

    /** Gives the blur diameter in focus, in wavelength / NA. */
    static double inFocus(double sine) {
        return blurs(sine)[0];
    }

    private static double[] blurs(double sine) {
        double cosine = Math.sqrt(1 - sine * sine);
        int row = after(COSINES, cosine);
        double share = (cosine - COSINES[row - 1]) / (COSINES[row] - COSINES[row - 1]);
        double[] blurs = new double[GEOMETRIC.length];
        for (int i = 0; i < blurs.length; i++) {
            blurs[i] = (1 - share) * BLURS[row - 1][i] + share * BLURS[row][i];
        }
        return blurs;
    }

    /** Gives the first place, but for 0, of rising values that is not below this one. */
    private static int after(double[] values, double value) {
        int at = 1;
        while (at < values.length - 1 && values[at] < value) {
            at++;
        }
        return at;
    }

    private static String text() {
        try (InputStream stream = HalfLight.class.getResourceAsStream("half_light.json")) {
            return new String(Weights.bytes(stream), StandardCharsets.UTF_8);
        } catch (IOException error) {
            throw new IllegalStateException("The plugin's jar cannot be read.", error);
        }
    }

    private static double[] numbers(Object list) {
        return ((List<?>) list).stream().mapToDouble(number -> (Double) number).toArray();
    }
}
