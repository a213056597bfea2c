package quality.microscope.focus;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * An array of floats as NumPy stores it, row by row, the last index running fastest.
 *
 * <p>A {@code weights.npz} is a ZIP archive of {@code NAME.npy} files; each has a header that tells
 * type and shape, followed by the plain numbers.
 */
final class Weights {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final Pattern HEADER =
            Pattern.compile(
                    "\\{'descr': '([^']*)', 'fortran_order': (True|False), "
                            + "'shape': \\(([0-9, ]*)\\), *\\}\\s*");

    final int[] shape;
    final float[] values;

    Weights(int[] shape, float[] values) {
        this.shape = shape;
        this.values = values;
    }

    /**
     * Reads all arrays of an archive.
     *
     * @throws FocusException for an archive that is damaged or holds anything but floats
     */
    static Map<String, Weights> read(byte[] archive) {
        Map<String, Weights> arrays = new LinkedHashMap<>();
        try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(archive))) {
            for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                String name = entry.getName();
                if (!name.endsWith(".npy")) {
                    throw new FocusException("weights.npz holds " + name + ", which is no array.");
                }
                name = name.substring(0, name.length() - 4);
                arrays.put(name, array(name, ByteBuffer.wrap(bytes(zip))));
            }
        } catch (IOException | NumberFormatException | ArithmeticException error) {
            throw new FocusException("weights.npz is damaged: " + error.getMessage(), error);
        }
        if (arrays.isEmpty()) {
            throw new FocusException("weights.npz is no archive of arrays.");
        }
        return arrays;
    }

    private static Weights array(String name, ByteBuffer content) {
        content.order(ByteOrder.LITTLE_ENDIAN);
        byte[] magic = new byte[MAGIC.length];
        if (content.remaining() < 12) {
            throw new FocusException("Weights '" + name + "' are cut short.");
        }
        content.get(magic);
        int version = content.get();
        content.get();
        if (!Arrays.equals(magic, MAGIC) || version < 1 || version > 3) {
            throw new FocusException("Weights '" + name + "' are no NumPy array.");
        }
        long length = version == 1 ? content.getShort() & 0xffff : content.getInt() & 0xffffffffL;
        if (length > content.remaining()) {
            throw new FocusException("Weights '" + name + "' are cut short.");
        }
        byte[] text = new byte[(int) length];
        content.get(text);
        String header = new String(text, StandardCharsets.UTF_8);
        Matcher found = HEADER.matcher(header);
        if (!found.matches() || found.group(2).equals("True") || !found.group(1).equals("<f4")) {
            throw new FocusException(
                    "Weights '" + name + "' must be rows of little-endian 32-bit floats; their "
                            + "header is " + header.trim() + ".");
        }
        String sides = found.group(3).replace(" ", "");
        String[] parts = sides.isEmpty() ? new String[0] : sides.split(",");
        int[] shape = new int[parts.length];
        long count = 1;
        for (int i = 0; i < parts.length; i++) {
            shape[i] = Integer.parseInt(parts[i]);
            count = Math.multiplyExact(count, (long) shape[i]);
        }
        if (4 * count != content.remaining()) {
            throw new FocusException(
                    "Weights '" + name + "' have the shape " + Arrays.toString(shape) + ", but "
                            + content.remaining() + " bytes.");
        }
        float[] values = new float[(int) count];
        content.asFloatBuffer().get(values);
        for (float value : values) {
            if (Float.isNaN(value) || Float.isInfinite(value)) {
                throw new FocusException("Weights '" + name + "' must be finite floats.");
            }
        }
        return new Weights(shape, values);
    }

    /** Reads a stream to its end. */
    static byte[] bytes(InputStream stream) throws IOException {
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        byte[] block = new byte[1 << 16];
        for (int n = stream.read(block); n >= 0; n = stream.read(block)) {
            content.write(block, 0, n);
        }
        return content.toByteArray();
    }
}
