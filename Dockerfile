# LNTL_RUNTIME=docker bash train.sh FLAGS builds this and runs it where you stand. By hand:
#
#   docker build -t learning-not-to-learn .
#   mkdir -p checkpoint
#   docker run --rm --init --gpus all --user "$(id -u):$(id -g)" -v "$PWD/checkpoint:/app/checkpoint" learning-not-to-learn
#
# It runs the main job; without --gpus all on the CPU. Any other command can follow the image's name: python3 test.py
# -e lntl_var0.020.
FROM python:3.11-slim

WORKDIR /app

# The torch wheel brings its CUDA libraries; from the host comes only the driver.
COPY requirements/lock.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/lock.txt

# Any user of the host may be given with --user: everything is readable, results and caches are writable for all.
RUN useradd --uid 1000 --create-home lntl && mkdir -m 1777 checkpoint
COPY . ./
RUN chmod -R a+rX .

ENV HOME=/tmp \
    USER=lntl \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

USER 1000
VOLUME /app/checkpoint
CMD ["python3", "train.py"]
